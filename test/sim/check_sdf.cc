// Loads an SDF file as Gazebo would, and takes every warning for an error.
#include <iostream>
#include <sdf/sdf.hh>

int main(int, char **arguments) {
  auto config = sdf::ParserConfig::GlobalConfig();
  config.SetWarningsPolicy(sdf::EnforcementPolicy::ERR);
  config.SetUnrecognizedElementsPolicy(sdf::EnforcementPolicy::ERR);
  sdf::Root root;
  const auto errors = root.Load(arguments[1], config);
  for (const auto &error : errors) std::cerr << error << "\n";
  if (!errors.empty()) return 1;
  const auto *robot = root.WorldByIndex(0)->ModelByName("robot");
  const auto *camera = robot->LinkByName("chassis")->SensorByName("camera");
  std::cout << camera->Topic() << " " << robot->JointCount() << "\n";
}
