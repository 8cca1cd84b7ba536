# Finds ROS 2 where pip put it. Included right after project() by the pip build; with an apt ROS it is not used.
cmake_minimum_required(VERSION 3.22)

if(NOT Python3_EXECUTABLE)
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
endif()
# pip builds in an environment of its own, so the interpreter's prefix is not the place: ask where a ROS module lies.
execute_process(
  COMMAND "${Python3_EXECUTABLE}" -c
    "import pathlib, rosidl_adapter; print(pathlib.Path(rosidl_adapter.__file__).parents[4])"
  OUTPUT_VARIABLE ros_wheels_prefix
  OUTPUT_STRIP_TRAILING_WHITESPACE
  COMMAND_ERROR_IS_FATAL ANY)
list(PREPEND CMAKE_PREFIX_PATH "${ros_wheels_prefix}")
# The type support packages are looked up in the ament index, not by find_package.
set(ENV{AMENT_PREFIX_PATH} "${ros_wheels_prefix}")

# The wheels' exported targets name include folders of the machine that built them, which CMake refuses because they do
# not exist. Our own would name numpy's, refused when the environment lies in the source tree, as .venv does. Nothing of
# ours is compiled against those, so drop both once every package is found and before anything is generated.
function(omnivla_vision_drop_foreign_includes)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN ITEMS ${targets} ${PROJECT_NAME}__rosidl_generator_py)
    get_target_property(includes ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(includes)
      list(FILTER includes EXCLUDE REGEX "^/opt/python/|/numpy/")
      set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${includes}")
    endif()
  endforeach()
endfunction()
cmake_language(DEFER CALL omnivla_vision_drop_foreign_includes)
