// How much of the inner PPO's loss evolved policy gradients mix into the learned loss
// (methods/epg/README.md#mixing). Pure functions.
#pragma once

#include <cstdint>

namespace mentor::methods {

// w of outer update u = 0, 1, ...: falls linearly from 1 to mix_final over the first mix_fraction
// of all outer updates.
double MixOf(uint32_t outer_step, uint32_t outer_updates, double mix_fraction, double mix_final);

}  // namespace mentor::methods
