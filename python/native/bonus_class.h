// Python's class Bonus: one agent's exploration bonus (bonuses/bonus.h).
#pragma once

#include <nanobind/nanobind.h>

namespace mentor::python {

void AddBonus(nanobind::module_& m);

}  // namespace mentor::python
