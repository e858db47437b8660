#include "bonuses/bonus.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <absl/strings/str_cat.h>

#include "common/registry.h"

namespace mentor::bonuses {
namespace {

// Bound of a normalised observation (Burda et al. 2018, section 2.4).
constexpr double kSeenMax = 5;

}  // namespace

void Numbers::Pass(std::span<double> numbers) {
  if (saves()) {
    out_->insert(out_->end(), numbers.begin(), numbers.end());
  } else if (in_.size() < numbers.size()) {
    Fail();
  } else {
    std::copy_n(in_.begin(), numbers.size(), numbers.begin());
    in_ = in_.subspan(numbers.size());
  }
}

void Numbers::Pass(int64_t* count) {
  double number = static_cast<double>(*count);
  Pass(&number);
  if (!(number >= 0 && number < 0x1p53 && number == std::floor(number))) return Fail();
  *count = static_cast<int64_t>(number);
}

Bonus::Bonus(const StepSizes& sizes, const Settings& settings)
    : sizes_(sizes), settings_(settings), observations_(sizes.observation), rewards_(1) {}

Steps Bonus::Seen(const Steps& steps) const {
  Steps seen = steps;
  if (!settings_.normalise) return seen;
  const auto normalise = [this](std::vector<double>* rows) {
    for (size_t at = 0; at < rows->size(); ++at) {
      const size_t i = at % static_cast<size_t>(sizes_.observation);
      const double number = ((*rows)[at] - observations_.mean[i]) / observations_.Deviation(i);
      (*rows)[at] = std::clamp(number, -kSeenMax, kSeenMax);
    }
  };
  normalise(&seen.observations);
  normalise(&seen.next_observations);
  return seen;
}

void Bonus::CountRewards(const Steps& steps, std::span<const double> raw) {
  if (settings_.scale == Settings::Scale::kNone) return;
  std::vector<double> counted;
  for (int64_t t = 0; t < steps.count(); ++t) {
    if (!steps.known[t]) continue;
    if (settings_.scale == Settings::Scale::kReturns)
      counted.push_back(discounted_ = settings_.gamma * discounted_ + raw[t]);
    else
      counted.push_back(raw[t]);
  }
  rewards_.Add(counted);
}

void Bonus::ScaleAll(const Steps& steps, std::span<double> out) const {
  const double scale =
      settings_.scale == Settings::Scale::kNone ? 1.0 : 1.0 / rewards_.Deviation(0);
  for (int64_t t = 0; t < steps.count(); ++t)
    out[t] = steps.known[t] ? settings_.weight * (out[t] * scale) : 0;
}

void Bonus::Reward(const Steps& steps, std::span<double> out) {
  if (settings_.normalise) observations_.Add(steps.observations);
  const Steps seen = Seen(steps);
  Count(seen);
  Raw(seen, out);
  CountRewards(steps, out);
  ScaleAll(steps, out);
}

void Bonus::Peek(const Steps& steps, std::span<double> out) const {
  Raw(Seen(steps), out);
  ScaleAll(steps, out);
}

void Bonus::Learn(const Steps& steps) {
  Train(Seen(steps), static_cast<uint32_t>(segments_));
  ++segments_;
}

void Bonus::PassAll(Numbers* numbers) {
  for (RunningMoments* moments : {&observations_, &rewards_}) {
    numbers->Pass(&moments->count);
    numbers->Pass(moments->mean);
    numbers->Pass(moments->variance);
  }
  numbers->Pass(&discounted_);
  numbers->Pass(&segments_);
  Pass(numbers);
}

std::vector<double> Bonus::Save() const {
  std::vector<double> saved;
  Numbers numbers(&saved);
  const_cast<Bonus*>(this)->PassAll(&numbers);  // Saving changes nothing.
  return saved;
}

absl::Status Bonus::Load(std::span<const double> saved) {
  Numbers numbers(saved);
  if (std::all_of(saved.begin(), saved.end(), [](double x) { return std::isfinite(x); })) {
    PassAll(&numbers);
    if (numbers.ok() && numbers.left() == 0) return absl::OkStatus();
  }
  return absl::DataLossError(absl::StrCat("the state of a bonus has ", saved.size(),
                                          " numbers that do not fit this one: it is damaged, or "
                                          "belongs to other settings"));
}

const BonusEntry* FindBonus(std::string_view name) {
  return Registry<BonusEntry>::Instance().Find(name);
}

std::vector<const BonusEntry*> Bonuses() {
  return Registry<BonusEntry>::Instance().All();
}

OptionValues SettingsOf(const BonusEntry& bonus, const v1::EvaluationSpec& spec,
                        Violations* violations) {
  google::protobuf::RepeatedPtrField<v1::Option> options;
  for (const v1::BonusSpec& own : spec.bonus()) {
    if (own.name() == bonus.name) options = own.option();
  }
  return OptionValues::Parse(bonus.options, options, "evaluation.bonus.option", violations);
}

void CheckSettings(const v1::EvaluationSpec& spec, Violations* violations) {
  std::set<std::string> names;
  for (const v1::BonusSpec& own : spec.bonus()) {
    const BonusEntry* entry = FindBonus(own.name());
    if (entry == nullptr) {
      violations->Add("evaluation.bonus.name",
                      Registry<BonusEntry>::Instance().Unknown("bonus", own.name()));
    } else if (!names.insert(own.name()).second) {
      violations->Add("evaluation.bonus.name",
                      absl::StrCat("'", own.name(), "' is given twice: put its settings together"));
    } else {
      SettingsOf(*entry, spec, violations);
    }
  }
}

RegisterBonus::RegisterBonus(BonusEntry entry) {
  Registry<BonusEntry>::Instance().Add(std::move(entry));
}

}  // namespace mentor::bonuses
