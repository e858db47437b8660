// Like torch.h, for tests; Catch2 takes over macros of LibTorch.
#pragma once

#include "cmake/pch/torch.h"
#include "tests/torch_testing.h"
