// A change to any environment, which a spec names: more observation, other rewards, other physics.
// A wrapper is one file in envs/wrappers/ that registers itself. It is an Environment again; the
// conformance suite tries it on several.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include "common/options.h"
#include "common/registry.h"
#include "envs/environment.h"

namespace mentor::envs {

// Forwards everything. A wrapper overrides what it changes. One with its own state adds it to
// SaveState and RestoreState.
class Wrapper : public Environment {
 public:
  explicit Wrapper(std::unique_ptr<Environment> inner)
      : inner_(std::move(inner)), info_(inner_->info()) {}

  const EnvironmentInfo& info() const override { return info_; }
  absl::Status SetTask(const v1::EnvironmentTask& task) override { return inner_->SetTask(task); }
  absl::Status Reset(const RandomStream& random, uint32_t episode,
                     std::span<double> observation) override {
    return inner_->Reset(random, episode, observation);
  }
  absl::StatusOr<StepOutcome> Step(std::span<const float> action,
                                   std::span<double> observation) override {
    return inner_->Step(action, observation);
  }
  absl::StatusOr<std::string> SaveState() const override { return inner_->SaveState(); }
  absl::Status RestoreState(std::string_view state, std::span<double> observation) override {
    return inner_->RestoreState(state, observation);
  }
  const std::vector<std::string>& InfoKeys() const override { return inner_->InfoKeys(); }
  std::vector<double> Info() const override { return inner_->Info(); }
  bool ScriptedAction(std::span<float> action) const override {
    return inner_->ScriptedAction(action);
  }
  const EnvironmentHelp* help() const override { return inner_->help(); }
  Environment& unwrapped() override { return inner_->unwrapped(); }

 protected:
  Environment& inner() { return *inner_; }
  const Environment& inner() const { return *inner_; }

 private:
  const std::unique_ptr<Environment> inner_;

 protected:
  EnvironmentInfo info_;  // Facts of the whole; begin as the inner one's.
};

struct WrapperEntry {
  std::string name;
  std::string summary;
  OptionTable options;
  // Settings that make it do something, each a list of names and values; the conformance suite
  // tries them all. None: its defaults do.
  std::vector<std::vector<std::pair<std::string, std::string>>> examples = {};
  // INVALID_ARGUMENT when it cannot wrap the environment.
  std::function<absl::StatusOr<std::unique_ptr<Environment>>(std::unique_ptr<Environment> inner,
                                                             const OptionValues&)>
      make;
  // Adds to a drawn task the part for this wrapper: number `index` of the stream. Null: nothing.
  std::function<void(const OptionValues&, const RandomStream& random, uint32_t index,
                     v1::EnvironmentTask* task)>
      extend_task = {};
  bool gives_success = false;  // Steps report success, whatever is inside.
  // False for a wrapper that came after the catalogue had a hash which recorded results carry. An
  // actor without it refuses its units by name.
  bool in_catalogue_hash = true;
};

// Ordered by name. Filled before main; read-only afterwards.
const std::vector<const WrapperEntry*>& Wrappers();

// The environment in its wrappers, innermost first. NOT_FOUND names near matches. INVALID_ARGUMENT
// lists bad options under `field_path`[i].
absl::StatusOr<std::unique_ptr<Environment>> Wrap(
    std::unique_ptr<Environment> environment,
    const google::protobuf::RepeatedPtrField<v1::WrapperSpec>& wrappers,
    std::string_view field_path = "task.wrappers");

// Adds the parts for these wrappers to a drawn task of the bare environment. Wrap must accept the
// wrappers.
void ExtendTask(const google::protobuf::RepeatedPtrField<v1::WrapperSpec>& wrappers,
                const RandomStream& random, uint32_t index, v1::EnvironmentTask* task);
// True if one of them reports success, whatever it wraps.
bool GiveSuccess(const google::protobuf::RepeatedPtrField<v1::WrapperSpec>& wrappers);

using RegisterWrapper = Registration<WrapperEntry>;

}  // namespace mentor::envs
