# SPDX-License-Identifier: MIT
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(ringpool_package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ringpool)

set(ringpool_installed ringpool)
if(TARGET ringpool_uring)
  list(APPEND ringpool_installed ringpool_uring)
endif()
if(TARGET ringpool_c)
  list(APPEND ringpool_installed ringpool_c)
endif()
if(TARGET ringpool_asio)
  list(APPEND ringpool_installed ringpool_asio)
endif()
install(TARGETS ${ringpool_installed}
  EXPORT ringpool_targets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT ringpool_targets
  NAMESPACE ringpool::
  FILE ringpool_targets.cmake
  DESTINATION ${ringpool_package_dir})
if(RINGPOOL_BUILD_TOOLS)
  install(TARGETS ringpool_cli RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  install(DIRECTORY share/ringpool/presets DESTINATION ${CMAKE_INSTALL_DATADIR}/ringpool)
endif()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

configure_package_config_file(
  cmake/ringpool-config.cmake.in ringpool-config.cmake
  INSTALL_DESTINATION ${ringpool_package_dir}
  NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(ringpool-config-version.cmake
  VERSION ${PROJECT_VERSION}
  COMPATIBILITY SameMinorVersion)
install(
  FILES ${PROJECT_BINARY_DIR}/ringpool-config.cmake ${PROJECT_BINARY_DIR}/ringpool-config-version.cmake
  DESTINATION ${ringpool_package_dir})

# pkg-config finds the prefix from where the file lies, so that an installed tree can be moved.
set(ringpool_pc_dir ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(IS_ABSOLUTE ${CMAKE_INSTALL_LIBDIR})
  set(ringpool_pc_prefix ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH ringpool_pc_up /p/${ringpool_pc_dir} /p)
  string(REGEX REPLACE "/$" "" ringpool_pc_up "${ringpool_pc_up}")
  set(ringpool_pc_prefix "\${pcfiledir}/${ringpool_pc_up}")
endif()
cmake_path(APPEND ringpool_pc_libdir "\${prefix}" "${CMAKE_INSTALL_LIBDIR}")
cmake_path(APPEND ringpool_pc_includedir "\${prefix}" "${CMAKE_INSTALL_INCLUDEDIR}")
configure_file(cmake/ringpool.pc.in ringpool.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/ringpool.pc DESTINATION ${ringpool_pc_dir})
if(TARGET ringpool_c)
  configure_file(cmake/ringpool-c.pc.in ringpool-c.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/ringpool-c.pc DESTINATION ${ringpool_pc_dir})
endif()
