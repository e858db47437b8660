// Follows experiments over broken connections: the resume token continues where the last stream
// ended, and when it is too old everything begins again from the present state. One thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/time/time.h>

#include "mentor/ctl/client.h"
#include "mentor/ctl/output.h"

namespace mentor::ctl {

struct ExperimentWatch {
  std::vector<std::string> names;  // Full names; empty: all experiments.
  std::string resume_token = {};   // From a list; empty: the present state comes first.
  bool progress = false;
  absl::Time deadline = absl::InfiniteFuture();  // DEADLINE_EXCEEDED afterwards.
  // Returns false for enough. After a token that was too old, the present state comes again as
  // EVENT_CREATED, and an experiment of `names` that is gone by then as EVENT_DELETED.
  std::function<bool(const v1::WatchExperimentsResponse&)> on_event = nullptr;
  // Called when the connection broke and is tried again; once, until something comes again.
  std::function<void(const absl::Status&)> on_lost = nullptr;
};

// Until on_event has enough (OK), an error that time does not cure, or Interrupt (CANCELLED).
absl::Status Watch(Client* client, const ExperimentWatch& watch);

// True for a status after which a stream is worth another try.
bool IsPassing(const absl::Status& status);

// Tells people on stderr that the connection is away.
std::function<void(const absl::Status&)> NoteLost(const Output* output);

// What agents achieved in the last outer updates: "success 42 %, return 11.59 (mean of 5 updates)".
// Empty where nobody knows.
std::string Learned(Client* client, const v1::Experiment& experiment);

// Shows the progress of one experiment until it ends: a bar on a terminal, lines elsewhere, an
// object for each change with --output json. kOk when it succeeded, kOtherState when it ended
// otherwise.
int Follow(Client* client, const Output& output, const std::string& name);

}  // namespace mentor::ctl
