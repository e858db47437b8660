// The same for tests without LibTorch.
#pragma once

#include "cmake/pch/plain.h"
#include "tests/testing.h"
