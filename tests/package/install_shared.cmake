# SPDX-License-Identifier: MIT
# Builds the library alone as a shared one and installs it:
#   cmake -D SOURCE_ROOT= -D WORK_DIR= -D PREFIX= -D CXX_COMPILER= -P install_shared.cmake

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE ${WORK_DIR} ${PREFIX})
run(${CMAKE_COMMAND} -S ${SOURCE_ROOT} -B ${WORK_DIR} -G Ninja
  -DCMAKE_CXX_COMPILER=${CXX_COMPILER} -DBUILD_SHARED_LIBS=ON
  -DRINGPOOL_BUILD_TOOLS=OFF -DRINGPOOL_BUILD_TESTS=OFF -DRINGPOOL_BUILD_BENCH=OFF)
run(${CMAKE_COMMAND} --build ${WORK_DIR} --parallel 2)
run(${CMAKE_COMMAND} --install ${WORK_DIR} --prefix ${PREFIX})
