// Include this in tests with LibTorch: torch defines CHECK too, so Catch2 must come after it.
#pragma once

#include <torch/autograd.h>
#include <torch/types.h>

#undef CHECK
#undef LOG
#undef DCHECK
#undef FAIL

#include "tests/testing.h"
