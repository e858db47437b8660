// Parts that are wrong on purpose, registered in the learning tests only: each is consistent
// between acting and training, so that nothing but the learning itself can tell
// (docs/algorithms/small_environments.md#broken-variants).
//
//   network lstm_late_action   the action input is that of step t-1;
//                              with the rule black_box_late_action
//   network lstm_late_inputs   every input is that of step t-1, which is the agent using the
//                              signal of step t-1; with the rule black_box_late_inputs
//   rule black_box_flipped     the outer update goes the other way
//   rule black_box_own_scale   advantages are standardised for each lifetime alone
//   rule epg_shuffled          each lifetime has the fitness of another one
//   rule lpo_shuffled          the same of LPO
//   rule epg_one_sign          both perturbations of a pair are counted with the sign +
#pragma once

namespace mentor::testing {

// Keeps the linker from leaving the registrations out.
void RegisterBrokenParts();
// Other broken parts stand beside their tests: latent_adaptation_test.cc, skills_test.cc.
void RegisterBrokenLatents();
void RegisterBrokenSkills();

}  // namespace mentor::testing
