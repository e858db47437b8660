// The same for tests with LibTorch, whose macros Catch2 takes over.
#pragma once

#include "cmake/pch/torch.h"
#include "tests/torch_testing.h"
