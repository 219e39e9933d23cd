# SPDX-License-Identifier: MIT
# Configures, builds and runs one consumer:
# (unoptimised: what is tested is that it builds)
#   cmake -D SOURCE_ROOT= -D CONSUMERS= -D CONSUMER= -D WORK_DIR= -D CXX_COMPILER= -D VERSION=
#         -D ARGUMENTS="..." -P consume.cmake

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

file(REMOVE_RECURSE ${WORK_DIR})
run(${CMAKE_COMMAND} -S ${CONSUMERS}/${CONSUMER} -B ${WORK_DIR} -G Ninja
  -DCMAKE_CXX_COMPILER=${CXX_COMPILER}
  -DRINGPOOL_SOURCE_ROOT=${SOURCE_ROOT} -DRINGPOOL_EXPECTED_VERSION=${VERSION} ${ARGUMENTS})
run(${CMAKE_COMMAND} --build ${WORK_DIR} --parallel 2)
run(${WORK_DIR}/consumer)
