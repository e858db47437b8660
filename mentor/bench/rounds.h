// Interleaved rounds of several programs, each of which measures one round and says its figures:
// our measurements, and peers, which are other implementations of the same work. One thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "mentor/bench/bench.h"

namespace mentor::bench {

// What a program says of one round.
struct RoundReport {
  Figures figures;
  std::map<std::string, std::string> versions = {};  // Of what it measured: "jax", "0.10.2".
};

// As one line of JSON, which a program prints last:
//
//   {"figures": {NAME: {"value": NUMBER, "unit": TEXT, "goal": TEXT}}, "versions": {NAME: TEXT}}
//   {"none": REASON}
//
// `goal` and `versions` may be left out. The second form says that it cannot measure here; it is an
// error of the code UNIMPLEMENTED here.
std::string ToJson(const absl::StatusOr<RoundReport>& round);
// Of all that a program printed, the last line that is an object. INVALID_ARGUMENT that names what
// is wrong and quotes the end.
absl::StatusOr<RoundReport> ParseRound(std::string_view printed);

// Runs a command to the end of one round. `deadline` of zero: none. DEADLINE_EXCEEDED, ABORTED when
// it did not end well, CANCELLED when this process is asked to stop; the errors of ParseRound.
absl::StatusOr<RoundReport> RunCommand(const std::vector<std::string>& command,
                                       std::chrono::duration<double> deadline);

struct Program {
  std::string measurement;  // "ppo"
  std::string peer = "";    // "jax"; empty: ours.
  std::function<absl::StatusOr<RoundReport>()> run;

  std::string name() const { return peer.empty() ? measurement : measurement + "/" + peer; }
};

struct Samples {
  std::string unit, goal;
  std::vector<double> values;  // One of each round in which there was one.

  double Median() const;
  // The quartiles.
  double Low() const;
  double High() const;
};

struct RoundFacts {
  double load_before = 0, load_after = 0;  // Of the last minute.
  double clock_mhz = 0;                    // Mean over cores, at the beginning.
  double seconds = 0;
};

struct Results {
  // "MEASUREMENT/NAME"; a peer's "MEASUREMENT/NAME PEER"; where both have a figure that is no ratio
  // itself, also "MEASUREMENT/NAME ahead of PEER": how many times faster or smaller ours is, of
  // samples of the same round.
  std::map<std::string, Samples> figures;
  std::map<std::string, std::map<std::string, std::string>> versions;  // By program.
  // Programs that could not go on, and why; what they said before is among the figures.
  std::map<std::string, absl::Status> left_out;
  std::vector<RoundFacts> rounds;
  bool stopped = false;  // By a signal: rounds are missing.

  bool ok() const;  // Nothing is missing but what programs said that they cannot measure here.
};

// Peers follow their measurement in `programs`. `say` gets lines for people, with the time left.
Results RunRounds(const std::vector<Program>& programs, int rounds,
                  const std::function<void(const std::string&)>& say);

}  // namespace mentor::bench
