# SPDX-License-Identifier: MIT
# ringpool::ringpool, static unless BUILD_SHARED_LIBS.

find_package(Threads REQUIRED)

# Globs, and not lists: a file that was added is built, and checked, without a second edit.
file(GLOB_RECURSE ringpool_headers CONFIGURE_DEPENDS include/ringpool/*.hpp)
file(GLOB ringpool_sources CONFIGURE_DEPENDS src/*.cpp src/codec/*.cpp)

add_library(ringpool ${ringpool_sources})
add_library(ringpool::ringpool ALIAS ringpool)
target_sources(ringpool PUBLIC
  FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES ${ringpool_headers})
target_include_directories(ringpool PRIVATE ${PROJECT_SOURCE_DIR}/src)
target_compile_features(ringpool PUBLIC cxx_std_20)
target_link_libraries(ringpool PUBLIC Threads::Threads PRIVATE $<BUILD_INTERFACE:ringpool_dev_flags>)
set_target_properties(ringpool PROPERTIES
  CXX_EXTENSIONS OFF
  VERSION ${PROJECT_VERSION}
  SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})  # 0.x: a minor may break the ABI

set(ringpool_usdt_definition RINGPOOL_USDT=$<BOOL:${RINGPOOL_USDT}>)
target_compile_definitions(ringpool PRIVATE ${ringpool_usdt_definition})

# ringpool::uring, where liburing is: io_uring over a pool.
find_path(ringpool_liburing_include liburing.h)
find_library(ringpool_liburing_library uring)
if(ringpool_liburing_include AND ringpool_liburing_library)
  add_library(ringpool_uring src/adapters/uring.cpp)
  add_library(ringpool::uring ALIAS ringpool_uring)
  target_link_libraries(ringpool_uring
    PUBLIC ringpool::ringpool uring PRIVATE $<BUILD_INTERFACE:ringpool_dev_flags>)
  # Its constructors throw, in a project that is otherwise built without too.
  target_compile_options(ringpool_uring PRIVATE -fexceptions)
  set_target_properties(ringpool_uring PROPERTIES
    EXPORT_NAME uring
    CXX_EXTENSIONS OFF
    VERSION ${PROJECT_VERSION}
    SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
endif()

# ringpool::c, a shared library with the C functions and the pools in it: it needs no other.
if(RINGPOOL_BUILD_C)
  set(ringpool_c_symbols ${PROJECT_SOURCE_DIR}/src/adapters/c_api.map)
  set(ringpool_c_sources src/adapters/c_api.cpp ${ringpool_sources})
  list(FILTER ringpool_c_sources EXCLUDE REGEX "/src/(codec/|metrics)")
  add_library(ringpool_c SHARED ${ringpool_c_sources})
  add_library(ringpool::c ALIAS ringpool_c)
  target_sources(ringpool_c PUBLIC
    FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR}/include FILES include/ringpool/ringpool.h)
  target_include_directories(ringpool_c PRIVATE ${PROJECT_SOURCE_DIR}/src)
  target_compile_features(ringpool_c PRIVATE cxx_std_20)
  target_compile_definitions(ringpool_c PRIVATE ${ringpool_usdt_definition})
  target_link_libraries(ringpool_c
    PRIVATE Threads::Threads $<BUILD_INTERFACE:ringpool_dev_flags>)
  # -fno-gnu-unique: else the library could not be unloaded.
  target_compile_options(ringpool_c PRIVATE $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
  target_link_options(ringpool_c PRIVATE LINKER:--version-script=${ringpool_c_symbols})
  set_target_properties(ringpool_c PROPERTIES
    EXPORT_NAME c
    LINK_DEPENDS ${ringpool_c_symbols}
    CXX_EXTENSIONS OFF
    CXX_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON
    UNITY_BUILD ${RINGPOOL_UNITY_BUILD}
    UNITY_BUILD_BATCH_SIZE 0
    VERSION ${PROJECT_VERSION}
    SOVERSION 0)  # of the C functions alone: grows only with what breaks a program
endif()

# ringpool::asio, where Asio is: waiting on its executors, reading into pooled buffers. Headers alone.
find_path(ringpool_asio_include asio/compose.hpp)
if(ringpool_asio_include)
  add_library(ringpool_asio INTERFACE)
  add_library(ringpool::asio ALIAS ringpool_asio)
  target_link_libraries(ringpool_asio INTERFACE ringpool::ringpool)
  target_compile_definitions(ringpool_asio INTERFACE ASIO_STANDALONE ASIO_NO_DEPRECATED)
  target_include_directories(ringpool_asio SYSTEM INTERFACE $<BUILD_INTERFACE:${ringpool_asio_include}>)
  set_target_properties(ringpool_asio PROPERTIES EXPORT_NAME asio)
endif()
