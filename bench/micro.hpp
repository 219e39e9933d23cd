// SPDX-License-Identifier: MIT
#pragma once

namespace bench {

/// The second mode, `--micro`: ringpool alone, on Google Benchmark, with its options. nullptr where
/// that library was missing.
using program = int (*)(int argc, char** argv);
program& micro();
/// The third, `--handles`: handles beside the same by hand.
program& handles();

}  // namespace bench
