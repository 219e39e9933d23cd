// SPDX-License-Identifier: MIT
#pragma once

// As Debian builds it: its classes have members that depend on this.
#ifndef CPPHTTPLIB_OPENSSL_SUPPORT
#define CPPHTTPLIB_OPENSSL_SUPPORT  // NOLINT(readability-identifier-naming): its name
#endif
#include <httplib.h>
