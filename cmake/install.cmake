# cmake --install: the program, the library, its headers, and the CMake package viewfold with the target
# viewfold::viewfold.

include(CMakePackageConfigHelpers)

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/viewfold")
install(TARGETS viewfold EXPORT viewfoldTargets LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(TARGETS viewfold_program RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
install(DIRECTORY "${PROJECT_SOURCE_DIR}/src/viewfold" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}"
        FILES_MATCHING PATTERN "*.hpp" PATTERN "web" EXCLUDE)
install(EXPORT viewfoldTargets NAMESPACE viewfold:: DESTINATION "${package_dir}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/viewfoldConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_SOURCE_DIR}/cmake/viewfoldConfig.cmake"
              "${PROJECT_BINARY_DIR}/viewfoldConfigVersion.cmake" DESTINATION "${package_dir}")
