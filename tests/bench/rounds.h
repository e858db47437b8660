// Interleaved rounds of several programs, each of which measures one round and reports its figures.
// The programs are our measurements and their peers, which are other implementations of the same
// work. One thread.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "tests/bench/bench.h"

namespace mentor::bench {

// The report of a program about one round.
struct RoundReport {
  Figures figures;
  // Versions of what it measured: "jax", "0.10.2".
  std::map<std::string, std::string> versions = {};
};

// Writes the report as one line of JSON, which a program prints last:
//
//   {"figures": {NAME: {"value": NUMBER, "unit": TEXT, "goal": TEXT}}, "versions": {NAME: TEXT}}
//   {"none": REASON}
//
// `goal` and `versions` may be left out. The second form says that the program cannot measure here;
// it becomes an error UNIMPLEMENTED.
std::string ToJson(const absl::StatusOr<RoundReport>& round);
// Reads the last line of the output that is an object. INVALID_ARGUMENT names what is wrong and
// quotes the end.
absl::StatusOr<RoundReport> ParseRound(std::string_view printed);

// Runs a command to the end of one round. A `deadline` of zero means none. Errors:
// DEADLINE_EXCEEDED, ABORTED when the command failed, CANCELLED when this process is asked to stop;
// and those of ParseRound.
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
  std::vector<double> values;  // One value for each round that gave one.

  double Median() const;
  // The quartiles.
  double Low() const;
  double High() const;
};

struct RoundFacts {
  double load_before = 0, load_after = 0;  // Load of the machine in the last minute.
  double clock_mhz = 0;                    // Mean over cores, at the beginning.
  double seconds = 0;
};

struct Results {
  // The keys are "MEASUREMENT/NAME", and "MEASUREMENT/NAME PEER" for a peer. If both have a figure
  // that is not itself a ratio, there is also "MEASUREMENT/NAME ahead of PEER". It says how many
  // times faster or smaller ours is, from samples of the same round.
  std::map<std::string, Samples> figures;
  std::map<std::string, std::map<std::string, std::string>> versions;  // By program.
  // Programs that could not go on, and why. Their earlier figures are among `figures`.
  std::map<std::string, absl::Status> left_out;
  std::vector<RoundFacts> rounds;
  bool stopped = false;  // A signal stopped the run: rounds are missing.

  bool ok() const;  // True if only those programs are missing that cannot measure here.
};

// Peers follow their measurement in `programs`. `say` receives lines for the user, with the time
// left.
Results RunRounds(const std::vector<Program>& programs, int rounds,
                  const std::function<void(const std::string&)>& say);

}  // namespace mentor::bench
