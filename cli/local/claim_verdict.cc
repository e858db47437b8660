#include "cli/local/claim_verdict.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_split.h>

#include "cli/local/claim_results.h"

namespace mentor {
namespace {

using report::Interval;
using report::kNone;

// A fingerprint has a part of each.
enum Part { kEnvironments, kSimulator, kLearner };

// Returns true if a part of the two fingerprints differs.
bool IsOther(Part part, const ClaimRow& recorded, const ClaimRow& now) {
  const std::vector<std::string> before = absl::StrSplit(recorded.fingerprint, '/'),
                                 here = absl::StrSplit(now.fingerprint, '/');
  return part >= before.size() || part >= here.size() || before[part] != here[part];
}

// Rows that were recorded before there was such a hash have none.
bool IsOtherMetrics(const ClaimRow& recorded, const ClaimRow& now) {
  return !recorded.metrics.empty() && recorded.metrics != now.metrics;
}

// Returns a sentence for the version, and for each part of the arithmetic, that the record has and
// this process has not.
std::vector<std::string> WhatDiffers(const ClaimRow& recorded, const ClaimRow& now) {
  std::vector<std::string> differs;
  if (recorded.version != now.version) {
    differs.push_back(absl::StrCat("Version ", recorded.version, " made the record, this is ",
                                   now.version, ": the hash may differ."));
  }
  if (IsOther(kEnvironments, recorded, now))
    differs.push_back("The environments are not those of the record: the hash may differ.");
  if (IsOther(kSimulator, recorded, now)) {
    differs.push_back(
        absl::StrCat("The simulator (libm, MuJoCo) has other bits than that of the record",
                     recorded.processor == now.processor
                         ? ""
                         : absl::StrCat(" (", recorded.processor, "; this is ", now.processor, ")"),
                     ": the hash may differ."));
  }
  if (IsOther(kLearner, recorded, now)) {
    differs.push_back(
        "The learner (LibTorch, kernels) has another arithmetic than that of the record: the "
        "hash may differ, on every processor.");
  }
  return differs;
}

// The recorded numbers of all runs but `judged`.
std::vector<double> ValuesOfOthers(const std::vector<ClaimRow>& runs, const ClaimRow& judged,
                                   const std::string& name) {
  std::vector<double> values;
  for (const ClaimRow& run : runs) {
    if (run.name() == judged.name()) continue;
    if (const auto found = run.numbers.find(name); found != run.numbers.end())
      values.push_back(found->second.mean);
  }
  return values;
}

// Returns the 99.9 % prediction interval of one more normal value after `others`:
// mean +- t s sqrt(1 + 1/n). Fewer than three others say too little about the spread: it is empty.
Interval RangeOfOneMore(const std::vector<double>& others) {
  // Student's t, 0.9995 quantile, by degrees of freedom from 2 on; the last entry serves all larger
  // ones.
  constexpr std::array kT = {31.60, 12.92, 8.610, 6.869, 5.959, 5.408, 5.041, 4.781};
  if (others.size() < 3) return {kNone, kNone, kNone};
  const auto n = static_cast<double>(others.size());
  double mean = 0, squares = 0;
  for (const double other : others) mean += other / n;
  for (const double other : others) squares += (other - mean) * (other - mean);
  const double t = kT[std::min(others.size() - 3, kT.size() - 1)];
  const double reach = t * std::sqrt(squares / (n - 1) * (1 + 1 / n));
  return {mean, mean - reach, mean + reach};
}

// Whether a recorded number is another one now, or missing.
bool OtherNumbers(const ClaimNumbers& recorded, const ClaimNumbers& now) {
  return std::any_of(recorded.begin(), recorded.end(), [&](const auto& one) {
    const auto found = now.find(one.first);
    return found == now.end() || ShortNumbers({one}) != ShortNumbers({*found});
  });
}

// Too few others exclude nothing.
bool OneMore(const std::vector<double>& others, double value) {
  const Interval range = RangeOfOneMore(others);
  return !std::isfinite(range.mean) || (range.low <= value && value <= range.high);
}

// Says which part of a result has another hash.
std::string OtherHash(const ClaimRow& recorded, const ClaimRow& now) {
  const auto or_none = [](const std::string& hash) { return hash.empty() ? "none" : hash; };
  if (recorded.hash != now.hash) {
    return absl::StrCat("another hash: ", or_none(now.hash), ", recorded ", or_none(recorded.hash));
  }
  if (recorded.evaluation != now.evaluation) {
    return absl::StrCat("the same hash, other lives in the evaluation: ", now.evaluation,
                        ", recorded ", recorded.evaluation);
  }
  if (IsOtherMetrics(recorded, now)) {
    return absl::StrCat("the same hash, other metrics along the run: ", or_none(now.metrics),
                        ", recorded ", recorded.metrics);
  }
  return "the same hash, other numbers";
}

// Says why another result may be right, if another version or arithmetic made the record.
void ExplainHash(const ClaimRow& recorded, const ClaimRow& now, ClaimVerdict* verdict) {
  verdict->sentences.push_back(OtherHash(recorded, now));
  std::vector<std::string> why = WhatDiffers(recorded, now);
  verdict->may_differ = !why.empty();
  verdict->old_arithmetic = IsOther(kLearner, recorded, now);
  if (why.empty()) {
    why.push_back(
        "Version and arithmetic are those of the record. So Mentor's bits have changed, the run's "
        "folder is damaged, or the record was edited. Run it again in a new folder. If the result "
        "is the same again, record it with results/record.py --replace.");
  }
  verdict->sentences.insert(verdict->sentences.end(), why.begin(), why.end());
}

// Compares one number with the recorded one; `others` are those of the claim's other runs. Returns
// true if their texts are equal.
bool CompareNumber(const std::string& name, const Interval& recorded, const Interval& own,
                   std::vector<double> others, ClaimVerdict* verdict) {
  const std::string here = ShortNumbers({{name, own}}), then = ShortNumbers({{name, recorded}});
  if (here == then) return true;
  // Identical lifetimes give identical numbers. Different bits count as another meta-seed.
  const bool known = std::isfinite(recorded.low) && std::isfinite(own.low);
  const bool meet = known && own.low <= recorded.high && recorded.low <= own.high;
  // What is judged must not widen its own range: neither number does.
  const bool one_more = OneMore(others, own.mean);
  others.push_back(own.mean);
  const Interval range = RangeOfOneMore(others);
  const bool as_recorded = range.low <= recorded.mean && recorded.mean <= range.high;
  const bool agrees =
      !verdict->same_bits && (meet || (verdict->may_differ && one_more && as_recorded));
  verdict->numbers_agree = verdict->numbers_agree && agrees;
  verdict->sentences.push_back(absl::StrCat(
      here, ", recorded ", then.substr(name.size() + 1),
      verdict->same_bits
          ? " (of the same bits: the record or the run's metrics were edited or damaged, or how it "
            "is computed has changed)"
      : meet ? " (the intervals meet)"
      : agrees
          ? absl::StrFormat(" (one more meta-seed may have %.5g to %.5g)", range.low, range.high)
          : " (beyond the recorded interval, and beyond other meta-seeds)"));
  return false;
}

}  // namespace

std::vector<std::string> WhatDiffersHere(const ClaimRow& recorded) {
  return recorded.recorded() ? WhatDiffers(recorded, MadeHere(recorded))
                             : std::vector<std::string>();
}

bool HasOldArithmetic(const ClaimRow& recorded) {
  return recorded.recorded() && IsOther(kLearner, recorded, MadeHere(recorded));
}

Outcome ClaimVerdict::outcome() const {
  if (!numbers_agree || !(same_bits || may_differ)) return Outcome::kFailed;
  if (same_bits) return Outcome::kBitForBit;
  return old_arithmetic ? Outcome::kOldArithmetic : Outcome::kNumbersOnly;
}

ClaimVerdict CompareClaims(const ClaimRow& recorded, const ClaimRow& now,
                           const std::vector<ClaimRow>& runs) {
  const bool same_hashes = recorded.hash == now.hash && recorded.evaluation == now.evaluation &&
                           !IsOtherMetrics(recorded, now);
  // What no hash covers may differ by the arithmetic, too: nobody has edited it then.
  const bool by_arithmetic =
      OtherNumbers(recorded.numbers, now.numbers) && !WhatDiffers(recorded, now).empty();
  ClaimVerdict verdict{.same_bits = same_hashes && !by_arithmetic};
  if (verdict.same_bits) {
    verdict.sentences.push_back(absl::StrCat("reproduced bit for bit: hash ", now.result()));
  } else {
    ExplainHash(recorded, now, &verdict);
  }
  if (verdict.same_bits && recorded.env_steps != now.env_steps) {
    verdict.numbers_agree = false;
    verdict.sentences.push_back(
        absl::StrCat("environment steps: ", now.env_steps, ", recorded ", recorded.env_steps));
  }
  bool all_equal = true;
  for (const auto& [name, number] : recorded.numbers) {
    const auto found = now.numbers.find(name);
    if (found == now.numbers.end()) {
      verdict.numbers_agree = false;
      verdict.sentences.push_back(absl::StrCat(name, ": recorded, and not measured here"));
      continue;
    }
    const bool equal =
        CompareNumber(name, number, found->second, ValuesOfOthers(runs, recorded, name), &verdict);
    all_equal = all_equal && equal;
  }
  if (verdict.same_bits) return verdict;
  if (recorded.numbers.empty()) {
    verdict.numbers_agree = recorded.is_pooled() && verdict.may_differ;
    verdict.sentences.push_back(
        recorded.is_pooled() ? "It has no numbers of its own; those of its runs are compared."
                             : "No numbers are recorded that could be compared.");
  } else if (all_equal && verdict.numbers_agree) {
    verdict.sentences.push_back("All numbers are the recorded ones.");
  }
  return verdict;
}

}  // namespace mentor
