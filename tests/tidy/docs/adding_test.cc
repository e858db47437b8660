// The examples of docs/adding.md are true: they register themselves, keep the promises of their
// kinds and run together.
#include <fstream>
#include <memory>
#include <sstream>

#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/dynamic_message.h>

#include "cli/local/local_run.h"
#include "cli/local/run_hash.h"
#include "common/spec/canonical.h"
#include "common/spec/defaults.h"
#include "common/spec/ranges.h"
#include "common/spec/spec.h"
#include "envs/benchmark.h"
#include "envs/environment.h"
#include "signals/signal_network.h"
#include "tests/checked_spec_of.h"
#include "tests/paths.h"
#include "tests/specs.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor::TEST_FILE {

using mentor::testing::TempFolder;

// The spec at the end of docs/adding.md.
std::string SpecOfTheDocument() {
  std::ifstream file(testing::SourcePath("docs/adding.md"));
  std::ostringstream text;
  text << file.rdbuf();
  const std::string document = text.str();
  const size_t title = document.find("## A spec that uses all six"),
               begin = document.find("```\n", title) + 4;
  return document.substr(begin, document.find("```", begin) - begin);
}

v1::ExperimentSpec Spec() {
  const auto spec = LoadSpec(SpecOfTheDocument());
  INFO(spec.status().ToString());
  REQUIRE(spec.ok());
  return *spec;
}

TEST_CASE("adding: the examples are in their catalogues, settings and all", "[tidy]") {
  REQUIRE(envs::FindEnvironment("cart") != nullptr);
  Violations violations;
  meta_learner::CheckParts(Spec(), &violations);
  CHECK(violations.ToStatus().ToString() == "OK");

  // A wrong setting of each part is refused by name.
  const auto refusal = [](auto* (v1::ExperimentSpec::*part)(), const char* name,
                          const char* value) {
    v1::ExperimentSpec wrong = Spec();
    testing::SetOption((wrong.*part)(), name, value);
    Violations found;
    meta_learner::CheckParts(wrong, &found);
    return std::string(found.ToStatus().message());
  };
  using Catch::Matchers::Contains;
  CHECK_THAT(refusal(&v1::ExperimentSpec::mutable_benchmark, "force", "1000"),
             Contains("force: is '1000'"));
  CHECK_THAT(refusal(&v1::ExperimentSpec::mutable_signal, "initial_std", "-1"),
             Contains("initial_std: is '-1'"));
  CHECK_THAT(refusal(&v1::ExperimentSpec::mutable_rule, "momentum", "0.9"), Contains("momentum"));
}

TEST_CASE("adding: the example environment goes on from a saved state bit for bit", "[tidy]") {
  const auto first = envs::MakeEnvironment("cart", {}), second = envs::MakeEnvironment("cart", {});
  REQUIRE(first.ok());
  REQUIRE(second.ok());
  const RandomStream random{.seed = 5, .purpose = Purpose::kEnvironmentReset};
  const envs::EnvironmentEntry& entry = *envs::FindEnvironment("cart");
  Violations none;
  const v1::EnvironmentTask task =
      envs::DrawTask(entry, OptionValues::Parse(entry.options, {}, "", &none), random, 3);
  std::vector<double> a(3), b(3);
  REQUIRE((*first)->SetTask(task).ok());
  REQUIRE((*second)->SetTask(task).ok());
  REQUIRE((*first)->Reset(random, 7, a).ok());
  for (int t = 0; t < 20; ++t) {
    const float action = 0.3f * static_cast<float>(t % 5) - 0.7f;
    REQUIRE((*second)->RestoreState(*(*first)->SaveState(), b).ok());
    CHECK(a == b);
    const auto x = (*first)->Step(std::span(&action, 1), a),
               y = (*second)->Step(std::span(&action, 1), b);
    REQUIRE(x.ok());
    REQUIRE(y.ok());
    CHECK(x->reward == y->reward);
    CHECK(x->truncated == (t == 19));
  }
  const float action = 0;
  CHECK(absl::IsFailedPrecondition((*first)->Step(std::span(&action, 1), a).status()));
}

TEST_CASE("adding: the example network gives a recorded signal the density that acting recorded",
          "[tidy]") {
  Violations violations;
  const auto network = signals::MakeSignalNetwork(
      Spec().signal(), {.observation_size = 3, .action_size = 1}, &violations);
  REQUIRE(network != nullptr);
  torch::manual_seed(1);
  const int64_t lifetimes = 4, steps = 6;
  agents::Segment segment;
  segment.observations = torch::randn({lifetimes, steps, 3});
  segment.actions = torch::randn({lifetimes, steps, 1});
  segment.success_signals = torch::randn({lifetimes, steps});
  segment.prev_done = torch::zeros({lifetimes, steps});
  segment.log_probs = torch::randn({lifetimes, steps});
  const torch::Tensor weights = torch::randn({network->layout().size()}) * 0.1;
  signals::SignalState state = network->signals()->InitialState(lifetimes, torch::kFloat32);
  const auto outputs =
      network->signals()->Run(weights, segment, torch::randn({lifetimes, steps}), &state);
  const auto evaluation = network->density()->Evaluate(
      weights, network->density()->Features(segment, outputs.signals), outputs.signals, {});
  CHECK(outputs.signals.std().item<double>() > 0.1);
  CHECK((evaluation.log_probs - outputs.log_probs).abs().max().item<double>() < 1e-5);
}

// The spec's file with one more field, which no code knows.
struct PlantedSpec {
  google::protobuf::DescriptorPool pool;
  google::protobuf::DynamicMessageFactory factory;
  std::unique_ptr<google::protobuf::Message> lifetime;
};

std::unique_ptr<PlantedSpec> PlantField() {
  auto planted = std::make_unique<PlantedSpec>();
  google::protobuf::FileDescriptorProto options, file;
  google::protobuf::FileDescriptorProto::descriptor()->file()->CopyTo(&options);
  v1::ExperimentSpec::descriptor()->file()->CopyTo(&file);
  const std::string lifetime = v1::LifetimeSpec::descriptor()->name();
  for (auto& message : *file.mutable_message_type()) {
    if (message.name() != lifetime) continue;
    auto* field = message.add_field();
    field->set_name("planted");
    field->set_number(900);
    field->set_label(google::protobuf::FieldDescriptorProto::LABEL_OPTIONAL);
    field->set_type(google::protobuf::FieldDescriptorProto::TYPE_DOUBLE);
    field->set_default_value("2");
    auto* range = field->mutable_options()->MutableExtension(v1::range);
    range->set_min(1);
    range->set_max(3);
  }
  REQUIRE(planted->pool.BuildFile(options) != nullptr);
  REQUIRE(planted->pool.BuildFile(file) != nullptr);
  planted->lifetime.reset(
      planted->factory.GetPrototype(planted->pool.FindMessageTypeByName("mentor.v1." + lifetime))
          ->New());
  return planted;
}

TEST_CASE("adding: a new field of the spec has its default, its range and its place in the hash",
          "[tidy]") {
  const auto planted = PlantField();
  google::protobuf::Message* lifetime = planted->lifetime.get();
  const auto* field = lifetime->GetDescriptor()->FindFieldByName("planted");
  const auto refusal = [&](double value) {
    lifetime->GetReflection()->SetDouble(lifetime, field, value);
    Violations violations;
    spec::CheckRanges(*lifetime, &violations);
    return std::string(violations.ToStatus().message());
  };
  spec::FillDefaults(lifetime);
  CHECK(lifetime->GetReflection()->GetDouble(*lifetime, field) == 2);
  const std::string before = CanonicalText(*lifetime);
  using Catch::Matchers::Contains;
  CHECK_THAT(refusal(3), !Contains("planted"));
  CHECK_THAT(refusal(4), Contains("planted: is 4"));
  CHECK(CanonicalText(*lifetime) != before);
}

TEST_CASE("adding: six new parts make an experiment with the same hash every time", "[tidy]") {
  std::string hashes[2];
  for (int i = 0; i < 2; ++i) {
    const TempFolder folder;
    const auto code = RunLocally({.checked = testing::CheckedSpecOf(Spec()),
                                  .out = folder.path(),
                                  .actors = 1 + i,
                                  .threads = 2 - i,
                                  .metrics_address = "",
                                  .quiet = true});
    INFO(code.status().ToString());
    REQUIRE(code.ok());
    CHECK(*code == 0);
    CHECK(std::filesystem::exists(folder.path() / "report.html"));
    const auto hash = HashRun(folder.path());
    REQUIRE(hash.ok());
    CHECK(hash->outer_step == 3);
    hashes[i] = hash->state_hash;
  }
  CHECK(hashes[0] == hashes[1]);
}

}  // namespace mentor::TEST_FILE
