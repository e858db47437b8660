// Like plain.h, for targets with LibTorch.
#pragma once

#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include "cmake/pch/plain.h"
