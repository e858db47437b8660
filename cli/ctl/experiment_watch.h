// Follows experiments across broken connections. The resume token continues where the last stream
// ended; when the token has expired, the watch restarts from the present state. One thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "cli/ctl/client.h"
#include "cli/ctl/output.h"

namespace mentor::ctl {

struct ExperimentWatch {
  std::vector<std::string> names;  // Full names; empty: all experiments. Their state comes first.
  bool progress = false;
  absl::Time deadline = absl::InfiniteFuture();  // Returns DEADLINE_EXCEEDED afterwards.
  // Returns false to stop. After an expired token the present state comes again as EVENT_CREATED.
  // An experiment of `names` that is deleted by then comes as EVENT_DELETED.
  std::function<bool(const v1::WatchExperimentsResponse&)> on_event = nullptr;
  // Called once when the connection breaks and is retried; again only after something has arrived
  // since.
  std::function<void(const absl::Status&)> on_lost = nullptr;
};

// Runs until on_event returns false (OK), a permanent error, or Interrupt (CANCELLED).
absl::Status Watch(Client* client, const ExperimentWatch& watch);

// Returns a callback that reports the lost connection on stderr.
std::function<void(const absl::Status&)> NoteLost(const Output* output);

// Returns the agents' results in the last outer updates: "success 42 %, return 11.59 (mean of 5
// updates)". Empty when unknown.
std::string Learned(Client* client, const v1::Experiment& experiment);

// Shows the progress of one experiment until it ends: a bar on a terminal, lines elsewhere. With
// --output json it prints an object for each change. Returns kOk on success, and kOtherState for
// another final state.
absl::StatusOr<int> Follow(Client* client, const Output& output, const std::string& name);

}  // namespace mentor::ctl
