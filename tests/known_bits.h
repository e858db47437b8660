// The bits that every processor with AVX2 makes: tests/data/known_bits.csv has a hash for what each
// network and each ready spec computes. docs/exactness.md says when they may change; with
// MENTOR_KNOWN_BITS=FILE the tests append the lines of this processor to a new table.
#pragma once

#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "agents/numerics.h"
#include "tests/paths.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::testing {

// Checks a part's hash.
inline void CheckBits(const std::string& part, const std::string& hash) {
  static const std::map<std::string, std::string> known = [] {
    std::map<std::string, std::string> lines;
    std::istringstream text(ReadText(SourcePath("tests/data/known_bits.csv")));
    for (std::string line; std::getline(text, line);) {
      const size_t comma = line.rfind(',');
      lines[line.substr(0, comma)] = line.substr(comma + 1);
    }
    return lines;
  }();
  if (const char* table = std::getenv("MENTOR_KNOWN_BITS"))
    std::ofstream(table, std::ios::app) << part << ',' << hash << '\n';
  INFO(part);
  // The table is of one arithmetic. Another one is another table.
  CHECK(known.at("arithmetic") == agents::kArithmetic);
  INFO("a new part needs its line in tests/data/known_bits.csv: MENTOR_KNOWN_BITS=FILE appends it");
  CHECK(known.contains(part));
  if (known.contains(part)) CHECK(known.at(part) == hash);
}

}  // namespace mentor::testing
