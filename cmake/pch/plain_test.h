// Like plain.h, for tests without LibTorch.
#pragma once

#include "cmake/pch/plain.h"
#include "tests/testing.h"
