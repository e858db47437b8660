// What tests with LibTorch include: torch defines CHECK too, so Catch2 comes after it.
#pragma once

#include <torch/autograd.h>
#include <torch/types.h>

#undef CHECK
#undef LOG
#undef DCHECK
#undef FAIL

#include "tests/testing.h"
