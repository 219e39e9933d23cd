// SPDX-License-Identifier: MIT
#pragma once

#include "advise_options.hpp"

namespace ringpool::tools {

/// `ringpool advise`: reads traffic, prints which classes would suit it beside today's; the exit
/// code. Messages about arguments and inputs go to standard error.
int run_advise(const advise_options& options);

}  // namespace ringpool::tools
