// Exploration bonuses of one agent (bonuses/README.md): rewards that the agent's own steps give,
// and that fall where it has been before. Networks and counts live as long as the agent, and learn
// from its steps alone. Not for the task's reward, and without LibTorch, so that Python has the
// same bits. Not thread-safe; agents are independent.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>

#include "bonuses/running_moments.h"
#include "common/options.h"
#include "common/rng.h"
#include "common/violations.h"

namespace mentor::bonuses {

struct StepSizes {
  int64_t observation = 0;  // D
  int64_t action = 0;       // A
  bool discrete = false;    // Actions are one-hot.
};

// Steps in their order. Arrays are row-major.
struct Steps {
  std::vector<double> observations = {};       // [T, D]: before the step
  std::vector<double> actions = {};            // [T, A]
  std::vector<double> next_observations = {};  // [T, D]: after it
  // [T]: 0 where the observation after the step is not known, since an episode ended.
  std::vector<uint8_t> known = {};

  int64_t count() const { return static_cast<int64_t>(known.size()); }
};

// What all bonuses have.
struct Settings {
  enum class Scale { kNone, kRewards, kReturns };
  double weight = 1;       // Factor of the bonus,
  double task_weight = 1;  // and of the task's success signal beside it.
  Scale scale = Scale::kNone;
  double gamma = 0.99;  // Discount of kReturns.
  bool normalise = false;
};

// One list of an object's numbers, by which they are saved and taken back.
class Numbers {
 public:
  explicit Numbers(std::vector<double>* out) : out_(out) {}
  explicit Numbers(std::span<const double> in) : in_(in) {}

  bool saves() const { return out_ != nullptr; }
  // Saves these numbers, or replaces them by the next ones.
  void Pass(std::span<double> numbers);
  void Pass(double* number) { Pass(std::span(number, 1)); }
  void Pass(int64_t* count);
  // False if there were too few numbers, or one that is no count where a count belongs.
  bool ok() const { return ok_; }
  // Numbers that were not taken.
  size_t left() const { return in_.size(); }
  void Fail() { ok_ = false; }

 private:
  std::vector<double>* out_ = nullptr;
  std::span<const double> in_ = {};
  bool ok_ = true;
};

class Bonus {
 public:
  Bonus(const StepSizes& sizes, const Settings& settings);
  virtual ~Bonus() = default;

  // Takes the steps into the statistics and counts; out [T] is then the weighted bonus of each
  // step, 0 where `known` is.
  void Reward(const Steps& steps, std::span<double> out);
  // The bonuses that these steps would have, by the present statistics and counts.
  void Peek(const Steps& steps, std::span<double> out) const;
  // Trains the networks, if there are any, on the steps.
  void Learn(const Steps& steps);

  double task_weight() const { return settings_.task_weight; }
  // Everything that later bonuses depend on, beside what the object was made of.
  std::vector<double> Save() const;
  // DATA_LOSS when these are not numbers that a bonus of this kind saved; the object is then
  // unusable.
  absl::Status Load(std::span<const double> numbers);

 protected:
  // Called with observations as networks and counts see them.
  virtual void Count(const Steps& /*seen*/) {}
  // Unscaled bonuses of all steps, also of those that are not known.
  virtual void Raw(const Steps& seen, std::span<double> out) const = 0;
  // `segment` counts the calls of Learn.
  virtual void Train(const Steps& /*seen*/, uint32_t /*segment*/) {}
  virtual void Pass(Numbers* /*numbers*/) {}

  const StepSizes sizes_;

 private:
  Steps Seen(const Steps& steps) const;
  // Takes raw bonuses into the statistics by which they are scaled.
  void CountRewards(const Steps& steps, std::span<const double> raw);
  void ScaleAll(const Steps& steps, std::span<double> out) const;
  void PassAll(Numbers* numbers);

  const Settings settings_;
  RunningMoments observations_, rewards_;
  double discounted_ = 0;  // Sum of raw bonuses, for Scale::kReturns.
  int64_t segments_ = 0;
};

// Upper bounds, in doubles.
struct BonusSizes {
  int64_t state = 0;    // What Save gives,
  int64_t scratch = 0;  // and what Reward or Learn takes beside it.
};

struct BonusEntry {
  std::string name;
  std::string summary;
  OptionTable options;
  // The purpose and the iteration of the stream are replaced.
  std::function<std::unique_ptr<Bonus>(const StepSizes&, const OptionValues&, const RandomStream&)>
      make;
  // For calls with at most `steps` steps, and `lifetime_steps` in all.
  std::function<BonusSizes(const StepSizes&, const OptionValues&, int64_t steps,
                           int64_t lifetime_steps)>
      sizes;
};

const BonusEntry* FindBonus(std::string_view name);  // Returns null when unknown.
std::vector<const BonusEntry*> Bonuses();            // Ordered by name.
// The settings that a spec gives this bonus, with defaults.
OptionValues SettingsOf(const BonusEntry& bonus, const v1::EvaluationSpec& spec,
                        Violations* violations);
// Adds a violation for each setting of a bonus that is unknown, out of range, or given twice.
void CheckSettings(const v1::EvaluationSpec& spec, Violations* violations);

struct RegisterBonus {
  explicit RegisterBonus(BonusEntry entry);
};

}  // namespace mentor::bonuses
