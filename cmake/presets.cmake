# SPDX-License-Identifier: MIT
# The presets are part of the command, so that it finds them wherever it lies.
set(ringpool_preset_list "")
file(GLOB ringpool_presets CONFIGURE_DEPENDS share/ringpool/presets/*.toml)
foreach(file ${ringpool_presets})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  cmake_path(GET file STEM name)
  file(READ ${file} text)
  string(APPEND ringpool_preset_list "\n    preset{\"${name}\", R\"toml(${text})toml\"},")
endforeach()
configure_file(tools/ringpool/config/presets.cpp.in ringpool_presets.cpp @ONLY)
set(ringpool_presets_source ${PROJECT_BINARY_DIR}/ringpool_presets.cpp)
