// Compares a result with its record. Pure functions, but for what this process is.
#pragma once

#include <string>
#include <vector>

#include "cli/local/claims.h"

namespace mentor {

// Returns sentences: which version, and which parts of the arithmetic, made the record and are not
// those of this process. A result may differ then.
std::vector<std::string> WhatDiffersHere(const ClaimRow& recorded);

// True if the record has an arithmetic of the learner that is not this process's.
bool HasOldArithmetic(const ClaimRow& recorded);

// What became of a record. A number that agrees by its interval alone is no repeated bit.
enum class Outcome { kBitForBit, kNumbersOnly, kOldArithmetic, kFailed };

// The comparison of a result with its record.
struct ClaimVerdict {
  bool same_bits = false;       // All hashes are equal, and nothing else differs by the arithmetic.
  bool may_differ = false;      // The record was made by another version or arithmetic.
  bool old_arithmetic = false;  // HasOldArithmetic(), where bits differ.
  // With the same bits, all recorded numbers are equal. Otherwise each interval meets the recorded
  // interval. Or the number and the recorded one are each plausible for one more meta-seed of the
  // others.
  bool numbers_agree = true;
  std::vector<std::string> sentences = {};

  Outcome outcome() const;
};
// `runs` are the recorded runs of the claim, when `recorded` is one of them.
ClaimVerdict CompareClaims(const ClaimRow& recorded, const ClaimRow& now,
                           const std::vector<ClaimRow>& runs = {});

}  // namespace mentor
