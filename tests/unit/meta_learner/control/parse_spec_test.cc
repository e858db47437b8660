#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/file.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "meta_learner/control/methods.h"
#include "tests/paths.h"
#include "tests/temp_folder.h"
#include "tests/testing.h"
#include "tests/text.h"

namespace mentor::TEST_FILE {

using mentor::testing::Contains;

constexpr char kPoint[] = "benchmark { name: 'point_reach' }";

// Answers as a client does that has these files alone, by path; the first one is the spec.
class Caller {
 public:
  using Files = std::vector<std::pair<std::string, std::string>>;

  explicit Caller(Files files, const std::vector<std::string>& overrides = {})
      : files_(std::move(files)) {
    for (const std::string& text : overrides) request_.add_overrides(text);
    Add(files_[0].first);
  }

  absl::StatusOr<v1::Experiment> Ask() {
    for (;;) {
      const auto answer = meta_learner::ParseSpec(request_);
      if (!answer.ok()) return answer.status();
      if (answer->wanted_file().empty()) return answer->experiment();
      CHECK_FALSE(answer->has_experiment());
      wanted_.push_back(answer->wanted_file());
      Add(answer->wanted_file());
    }
  }
  const std::vector<std::string>& wanted() const { return wanted_; }

 private:
  void Add(const std::string& path) {
    v1::SpecFile* file = request_.add_files();
    file->set_path(path);
    for (const auto& [own, text] : files_) {
      if (own == path) file->set_text(text);
    }
  }

  const Files files_;
  v1::ParseSpecRequest request_;
  std::vector<std::string> wanted_;
};

v1::Experiment Read(const Caller::Files& files, const std::vector<std::string>& overrides = {}) {
  const auto experiment = Caller(files, overrides).Ask();
  INFO(experiment.status());
  REQUIRE(experiment.ok());
  return *experiment;
}

std::string Refusal(const Caller::Files& files, const std::vector<std::string>& overrides = {}) {
  const absl::Status status = Caller(files, overrides).Ask().status();
  CHECK(ReasonOf(status) == "INVALID_FIELD");
  return std::string(status.message());
}

TEST_CASE("parse spec: text, YAML, an experiment around a spec, and overrides", "[unit]") {
  const std::string text =
      absl::StrCat(kPoint, " rule { outer_updates: 3 learning_rate: 3e-4 }  # Short.");
  const v1::ExperimentSpec spec = Read({{"a.txtpb", text}}, {"seed=5"}).spec();
  CHECK(spec.seed() == 5);
  CHECK(spec.rule().outer_updates() == 3);
  CHECK(spec.rule().option(0).value() == "3e-4");
  CHECK_FALSE(spec.has_agent());  // Without defaults.
  const std::string yaml =
      "benchmark: {name: point_reach}\nrule: {outer_updates: 3, learning_rate: 3e-4}\nseed: 5\n";
  CHECK(SpecHash(Read({{"a.yaml", yaml}}).spec()) == SpecHash(spec));

  const v1::Experiment around = Read(
      {{"a", absl::StrCat("name: 'mine' weight: 2 spec { ", kPoint, " }")}}, {"agent.gamma=0.5"});
  CHECK(around.name() == "mine");
  CHECK(around.weight() == 2);
  CHECK(around.spec().agent().gamma() == 0.5);
}

TEST_CASE("parse spec: a name without a file is a spec that comes with the server", "[unit]") {
  const v1::ExperimentSpec smoke =
      LoadSpecFile(testing::SourcePath("experiments/smoke.txtpb")).value();
  v1::ParseSpecRequest request;
  request.add_files()->set_path("smoke");
  request.add_overrides("seed=77");
  const auto answer = meta_learner::ParseSpec(request);
  REQUIRE(answer.ok());
  v1::ExperimentSpec changed = smoke;
  changed.set_seed(77);
  CHECK(SpecHash(answer->experiment().spec()) == SpecHash(changed));
  request.mutable_files(0)->set_path("smok");
  CHECK(Contains(std::string(meta_learner::ParseSpec(request).status().message()),
                 "did you mean 'smoke'?"));
  CHECK(ReasonOf(meta_learner::ParseSpec({}).status()) == "INVALID_FIELD");
}

TEST_CASE("parse spec: bases are asked for beside the file that names them", "[unit]") {
  Caller caller(Caller::Files{{"dir/last.txtpb", "base: '../middle' seed: 3"},
                              {"dir/../middle.txtpb", "base: 'smoke' agent { gamma: 0.5 }"}});
  const auto read = caller.Ask();
  REQUIRE(read.ok());
  CHECK(read->spec().seed() == 3);
  CHECK(read->spec().agent().gamma() == 0.5);
  CHECK(read->spec().rule().outer_updates() == 4);  // The ready spec's.
  CHECK_FALSE(read->spec().has_base());
  CHECK(caller.wanted() == std::vector<std::string>{"dir/../middle", "dir/../middle.txtpb",
                                                    "dir/../smoke", "dir/../smoke.txtpb"});
  // A file of the caller wins.
  CHECK(Read({{"a", "base: 'smoke'"}, {"smoke", kPoint}}).spec().benchmark().name() ==
        "point_reach");
  CHECK(Contains(Refusal({{"a", "base: 'b'"}, {"b", "base: 'a'"}}), "leads back to a"));
  CHECK(
      Contains(Refusal({{"a", "base: 'b'"}, {"b.txtpb", "sed: 1"}}), "b.txtpb, line 1, column 1"));
  CHECK(Contains(Refusal({{"a", "base: '\\377'"}}), "is not UTF-8"));
}

TEST_CASE("parse spec: no path leads to a file of the server", "[unit]") {
  const testing::TempFolder folder;
  const std::string file = (folder.path() / "secret.txtpb").string();
  REQUIRE(WriteFileAtomically(file, kPoint).ok());
  CHECK(Contains(Refusal({{"a", absl::StrCat("base: '", file, "'")}}), "there is no spec"));
  v1::ParseSpecRequest request;
  request.add_files()->set_path(file);
  CHECK(Contains(std::string(meta_learner::ParseSpec(request).status().message()),
                 "there is no spec"));
}

TEST_CASE("parse spec: says at once what is wrong, with its place", "[unit]") {
  const std::string wrong =
      Refusal({{"a", absl::StrCat(kPoint, "\nsed: 1 agent { gamma: 2 }")}}, {"rule.k"});
  CHECK(Contains(wrong, "line 2, column 1: ExperimentSpec has no field 'sed'"));
  CHECK(Contains(wrong, "agent.gamma: is 2"));
  CHECK(Contains(wrong, "--set 'rule.k': is not of the form path.to.field=value"));
  CHECK(Contains(Refusal({{"a", absl::StrCat("owner: 'me' spec { ", kPoint, " }")}}),
                 "owner: is set by the server"));
  CHECK(Contains(Refusal({{"a", std::string((1 << 20) + 1, ' ')}}), "give at most"));
  // What can be read is for CreateExperiment to judge.
  CHECK(Read({{"a", "agent { gamma: 2 }"}}).spec().agent().gamma() == 2);
}

}  // namespace mentor::TEST_FILE
