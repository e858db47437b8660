// Compares a result with its record. Pure functions, but for what this process is.
#pragma once

#include <string>
#include <vector>

#include "cli/local/claims.h"

namespace mentor {

// Returns sentences: which version, and which parts of the arithmetic, made the record and are not
// those of this process. A result may differ then.
std::vector<std::string> WhatDiffersHere(const ClaimRow& recorded);

// The comparison of a result with its record.
struct ClaimVerdict {
  bool same_bits = false;   // All hashes are equal, and nothing else differs by the arithmetic.
  bool may_differ = false;  // The record was made by another version or arithmetic.
  // With the same bits, all recorded numbers are equal. Otherwise each interval meets the recorded
  // interval. Or the number and the recorded one are each plausible for one more meta-seed of the
  // others.
  bool numbers_agree = true;
  std::vector<std::string> sentences = {};
};
// `runs` are the recorded runs of the claim, when `recorded` is one of them.
ClaimVerdict CompareClaims(const ClaimRow& recorded, const ClaimRow& now,
                           const std::vector<ClaimRow>& runs = {});

}  // namespace mentor
