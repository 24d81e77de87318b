# SPDX-License-Identifier: Apache-2.0
# The C++ package: a static and a shared library, the public headers, and hpipConfig.cmake.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

add_library(hpip_shared SHARED $<TARGET_OBJECTS:hpip_objects>)
target_include_directories(hpip_shared PUBLIC
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/csrc/include> $<INSTALL_INTERFACE:include>)
target_link_libraries(hpip_shared PUBLIC Threads::Threads PRIVATE $<BUILD_INTERFACE:hpip_options>)
# In 0.x, every minor version may change the ABI.
set_target_properties(hpip_shared PROPERTIES
  OUTPUT_NAME hpip
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
set_target_properties(hpip_kernels PROPERTIES OUTPUT_NAME hpip EXPORT_NAME hpip_static)

set(HPIP_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/hpip)
install(TARGETS hpip_kernels hpip_shared EXPORT hpipTargets)
install(DIRECTORY csrc/include/hpip DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT hpipTargets NAMESPACE hpip:: DESTINATION ${HPIP_CMAKE_DIR})
configure_package_config_file(
  cmake/hpipConfig.cmake.in ${PROJECT_BINARY_DIR}/hpipConfig.cmake
  INSTALL_DESTINATION ${HPIP_CMAKE_DIR})
write_basic_package_version_file(
  ${PROJECT_BINARY_DIR}/hpipConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES
  ${PROJECT_BINARY_DIR}/hpipConfig.cmake ${PROJECT_BINARY_DIR}/hpipConfigVersion.cmake
  DESTINATION ${HPIP_CMAKE_DIR})
