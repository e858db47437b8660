// Sizes of a lifetime and of meta-training that fit an environment, for new specs: some ten
// episodes a segment, minibatches that divide it, a few minutes in all. Pure functions.
#pragma once

#include "cli/templates/fill.h"

namespace mentor::templates {

struct TaskFacts {
  int episode_steps = 1;    // M
  bool draws_tasks = true;  // Each lifetime has a task of its own, without end.
  bool has_success = true;  // Steps may report it.
  // After so many random steps without success; 0: nobody has looked.
  int steps_without_success = 0;
  int goals = 0;  // Tasks for tests, where they are listed; 0: they are drawn.
};

// The sizes by the names of their places in learning.txtpb.
Places SizesFor(const TaskFacts& facts);

}  // namespace mentor::templates
