// The Umbrella Length problem (Osband et al. 2020, bsuite): the first of C actions decides the
// reward of the last step, the rewards between are coin flips. Definition:
// methods/meta_gradient/README.md#umbrella-length. The chain alone, with the coins handed in, so
// that recorded cases can be replayed. Not thread-safe.
#pragma once

#include <span>

namespace mentor::envs {

class UmbrellaChain {
 public:
  struct Settings {
    int length = 20;            // C: steps of an episode.
    int distractors = 0;        // n
    double final_reward = 10;   // F
    double noise_reward = 0.1;  // nu
  };

  explicit UmbrellaChain(const Settings& settings) : settings_(settings) {}

  int observation_size() const { return 3 + settings_.distractors; }
  int steps() const { return steps_; }
  int need() const { return need_; }
  int have() const { return have_; }

  // need: is it going to rain; have: what is shown until the first action.
  void Reset(int need, int have) { *this = UmbrellaChain(settings_, 0, need, have); }
  // Goes on from a saved point.
  void Restore(int steps, int need, int have) {
    *this = UmbrellaChain(settings_, steps, need, have);
  }

  struct Outcome {
    double reward = 0;
    bool success = false;
    bool terminated = false;
  };
  // take counts in the first step only; coin decides the sign of the noise in all steps but the
  // last.
  Outcome Step(bool take, int coin);

  // (need, have, countdown, distractors): what is seen after steps() steps. distractors: [n], 0
  // or 1.
  void Observe(std::span<const int> distractors, std::span<double> observation) const;

 private:
  UmbrellaChain(const Settings& settings, int steps, int need, int have)
      : settings_(settings), steps_(steps), need_(need), have_(have) {}

  Settings settings_;
  int steps_ = 0;
  int need_ = 0, have_ = 0;
};

}  // namespace mentor::envs
