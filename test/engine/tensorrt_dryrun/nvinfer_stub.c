/* What TensorRT's Python bindings want from libnvinfer, libnvinfer_plugin and libnvonnxparser in order to be imported.
   Nothing here computes: the dry run only asks torch-tensorrt which operators it has converters for. */
#include <stddef.h>

#define STUB(name) void *name(void) { return NULL; }

STUB(createInferBuilder_INTERNAL)
STUB(createInferRefitter_INTERNAL)
STUB(createInferRuntime_INTERNAL)
STUB(createNvOnnxParser_INTERNAL)
STUB(createNvOnnxParserRefitter_INTERNAL)
STUB(getBuilderPluginRegistry)
STUB(getPluginRegistry)

int getNvOnnxParserVersion(void) { return 0; }
int getInferLibVersion(void) { return 0; }
unsigned char initLibNvInferPlugins(void) { return 1; }
