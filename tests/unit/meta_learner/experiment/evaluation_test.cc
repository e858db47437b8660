#include "meta_learner/experiment/evaluation.h"

#include <fstream>

#include "common/evaluation_method.h"
#include "common/file.h"
#include "tests/temp_folder.h"
#include "tests/torch_testing.h"

namespace mentor::meta_learner::TEST_FILE {

RunParameters Parameters() {
  return {.learned = torch::full({1}, 1.0F),
          .best = torch::full({1}, 2.0F),
          .average = torch::full({1}, 4.0F),
          .initial = torch::full({1}, 3.0F)};
}

std::vector<v1::EvaluationMethod> MethodsOf(const std::vector<Teacher>& teachers) {
  std::vector<v1::EvaluationMethod> methods;
  for (const Teacher& teacher : teachers) methods.push_back(teacher.method);
  return methods;
}

TEST_CASE("evaluation: each method has its source of rewards and its parameters", "[unit]") {
  const RunParameters parameters = Parameters();
  for (const EvaluationMethodInfo& info : EvaluationMethods()) {
    INFO(info.name);
    const Teacher teacher = TeacherOf(info.method, parameters);
    CHECK(teacher.method == info.method);
    CHECK(teacher.parameters.defined() == (teacher.source == v1::REWARD_SOURCE_SIGNAL));
  }
  const auto number = [&](v1::EvaluationMethod method) {
    return TeacherOf(method, parameters).parameters.item<float>();
  };
  CHECK(number(v1::EVALUATION_METHOD_LEARNED) == 1);
  CHECK(number(v1::EVALUATION_METHOD_LEARNED_BEST) == 2);
  CHECK(number(v1::EVALUATION_METHOD_RANDOM_SIGNAL) == 3);
  CHECK(number(v1::EVALUATION_METHOD_LEARNED_AVERAGE) == 4);
  CHECK(TeacherOf(v1::EVALUATION_METHOD_PPO_SPARSE, parameters).source == v1::REWARD_SOURCE_SPARSE);
  CHECK(TeacherOf(v1::EVALUATION_METHOD_PPO_SHAPED, parameters).source == v1::REWARD_SOURCE_SHAPED);
  CHECK(TeacherOf(v1::EVALUATION_METHOD_PPO_SPARSE_AND_SHAPED, parameters).source ==
        v1::REWARD_SOURCE_SPARSE_AND_SHAPED);
  CHECK(TeacherOf(v1::EVALUATION_METHOD_PPO_POTENTIAL, parameters).source ==
        v1::REWARD_SOURCE_POTENTIAL);
  CHECK(TeacherOf(v1::EVALUATION_METHOD_PPO_RND, parameters).source == v1::REWARD_SOURCE_RND);
  CHECK(TeacherOf(v1::EVALUATION_METHOD_PPO_ICM, parameters).source == v1::REWARD_SOURCE_ICM);
  CHECK(TeacherOf(v1::EVALUATION_METHOD_PPO_COUNTS, parameters).source == v1::REWARD_SOURCE_COUNTS);
}

TEST_CASE("evaluation: teachers are what was learned and the spec's baselines", "[unit]") {
  using Methods = std::vector<v1::EvaluationMethod>;
  v1::EvaluationSpec spec;
  spec.set_best_weights(true);
  for (const v1::Baseline baseline :
       {v1::RANDOM_SIGNAL, v1::PPO_SPARSE_AND_SHAPED, v1::PPO_SPARSE, v1::PPO_SHAPED,
        v1::PPO_POTENTIAL, v1::PPO_RND, v1::PPO_ICM, v1::PPO_COUNTS})
    spec.add_baseline(baseline);
  const auto teachers = [&](bool learned, bool baselines) {
    return MethodsOf(Teachers(spec, Parameters(), learned, baselines));
  };
  CHECK(teachers(true, true) ==
        Methods{v1::EVALUATION_METHOD_LEARNED, v1::EVALUATION_METHOD_LEARNED_BEST,
                v1::EVALUATION_METHOD_RANDOM_SIGNAL, v1::EVALUATION_METHOD_PPO_SPARSE_AND_SHAPED,
                v1::EVALUATION_METHOD_PPO_SPARSE, v1::EVALUATION_METHOD_PPO_SHAPED,
                v1::EVALUATION_METHOD_PPO_POTENTIAL, v1::EVALUATION_METHOD_PPO_RND,
                v1::EVALUATION_METHOD_PPO_ICM, v1::EVALUATION_METHOD_PPO_COUNTS});
  CHECK(teachers(false, true).size() == 8);  // Nothing was learned.
  spec.set_best_weights(false);
  CHECK(teachers(true, false) == Methods{v1::EVALUATION_METHOD_LEARNED});
  spec.set_averaged_checkpoints(20);
  CHECK(teachers(true, false) ==
        Methods{v1::EVALUATION_METHOD_LEARNED, v1::EVALUATION_METHOD_LEARNED_AVERAGE});
}

TEST_CASE("evaluation: files of 0.1.0, with names of methods, are read", "[unit]") {
  const testing::TempFolder folder;
  const auto write = [&](const std::string& name, const v1::EvaluationShard& shard) {
    REQUIRE(WriteFileAtomically(folder.path() / name, shard.SerializeAsString()).ok());
  };
  v1::EvaluationShard old;
  old.set_method("PPO sparse and shaped");
  old.set_split("test");
  write("test-0.binpb", old);
  v1::EvaluationShard now;
  now.set_taught_by(v1::EVALUATION_METHOD_LEARNED_BEST);
  now.set_split("test");
  write("test-1.binpb", now);
  const auto shards = ReadShards(folder.path());
  REQUIRE(shards.ok());
  REQUIRE(shards->size() == 2);
  CHECK((*shards)[0].taught_by() == v1::EVALUATION_METHOD_PPO_SPARSE_AND_SHAPED);
  CHECK((*shards)[0].method().empty());
  CHECK((*shards)[1].taught_by() == v1::EVALUATION_METHOD_LEARNED_BEST);

  for (const char* unknown : {"", "SAC"}) {
    old.set_method(unknown);
    write("test-2.binpb", old);
    const auto refused = ReadShards(folder.path());
    CHECK(absl::IsDataLoss(refused.status()));
    CHECK(refused.status().message().find("test-2.binpb") != std::string::npos);
  }
}

TEST_CASE("evaluation: a file with a flipped bit is refused, one without checksum is read",
          "[unit]") {
  const testing::TempFolder folder;
  const auto file = folder.path() / "test-0.binpb";
  v1::EvaluationShard shard;
  shard.set_split("test");
  shard.set_index(3);
  shard.set_seed(7);
  shard.set_outer_step(40);
  shard.set_taught_by(v1::EVALUATION_METHOD_LEARNED);
  for (const uint32_t number : {0U, 1U}) {
    v1::EvaluatedLifetime& lifetime = *shard.add_lifetimes();
    lifetime.set_number(number);
    lifetime.set_environment("reach-v3");
    lifetime.add_episode_success(1);
    lifetime.add_episode_return(-0.5);
    lifetime.add_segment_episodes(1);
  }
  const std::string plain = shard.SerializeAsString();
  const auto read = [&]() -> absl::StatusOr<std::string> {
    const auto shards = ReadShards(folder.path());
    if (!shards.ok()) return shards.status();
    return shards->at(0).SerializeAsString();
  };
  // An earlier build wrote it.
  REQUIRE(WriteFileAtomically(file, plain).ok());
  CHECK(*read() == plain);

  REQUIRE(WriteShard(file, shard).ok());
  CHECK(*read() == plain);
  const std::string whole = *ReadFile(file, 1 << 20);
  CHECK(whole.size() == plain.size() + 5);
  for (size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    std::ofstream(file, std::ios::binary) << damaged;
    const absl::Status refused = read().status();
    INFO("bit " << bit);
    REQUIRE(absl::IsDataLoss(refused));
    REQUIRE(refused.message().find("test-0.binpb is damaged") != std::string::npos);
  }
}

TEST_CASE("evaluation: a file of another run, state or shard is refused, one of nobody is read",
          "[unit]") {
  const testing::TempFolder folder;
  v1::EvaluationShard shard;
  shard.set_split("test");
  shard.set_index(1);
  shard.set_outer_step(40);
  shard.set_taught_by(v1::EVALUATION_METHOD_LEARNED_BEST);
  shard.set_spec_hash("aa");
  shard.set_state_hash("bb");
  const EvaluatedRun own = {.spec_hash = "aa", .state_hash = [](uint32_t outer_step) {
                              return outer_step == 40 ? "bb" : "";
                            }};
  const auto read = [&](const std::string& name, const v1::EvaluationShard& written,
                        const EvaluatedRun* run) -> std::string {
    std::error_code error;
    for (const auto& old : std::filesystem::directory_iterator(folder.path()))
      std::filesystem::remove(old.path(), error);
    REQUIRE(WriteShard(folder.path() / name, written).ok());
    const absl::Status status = ReadShards(folder.path(), run).status();
    if (status.ok()) return "";
    CHECK(absl::IsFailedPrecondition(status));
    CHECK(status.message().find(name) != std::string::npos);
    CHECK(status.message().find("remove it") != std::string::npos);
    return std::string(status.message());
  };
  const std::string name = "test-learned_best-00001.binpb";
  CHECK(read(name, shard, &own).empty());
  CHECK(read(name, shard, nullptr).empty());
  for (const char* other : {"test-learned-00001.binpb", "test-learned_best-00002.binpb",
                            "train-learned_best-00001.binpb", "copy.binpb"})
    CHECK(read(other, shard, nullptr).find("should hold") != std::string::npos);

  v1::EvaluationShard foreign = shard;
  foreign.set_spec_hash("cc");
  CHECK(read(name, foreign, &own).find("another spec (cc)") != std::string::npos);
  foreign = shard;
  foreign.set_state_hash("dd");
  CHECK(read(name, foreign, &own).find("after outer update 40 is dd") != std::string::npos);
  foreign.set_outer_step(20);  // The checkpoint of that step is gone.
  CHECK(read(name, foreign, &own).empty());
  foreign.clear_spec_hash();  // An earlier build wrote it.
  foreign.clear_state_hash();
  CHECK(read("copy.binpb", foreign, &own).empty());
}

TEST_CASE("evaluation: a file of another seed than its folder's is refused", "[unit]") {
  const testing::TempFolder folder;
  v1::EvaluationShard shard;
  shard.set_split("test");
  shard.set_seed(7);
  shard.set_taught_by(v1::EVALUATION_METHOD_LEARNED);
  shard.set_spec_hash("aa");
  for (const std::string name : {"seed-7", "seed-77", "evaluation"}) {
    REQUIRE(MakeFolders(folder.path() / name).ok());
    REQUIRE(WriteShard(folder.path() / name / "test-learned-00000.binpb", shard).ok());
  }
  CHECK(ReadShards(folder.path() / SeedFolder(7)).ok());
  CHECK(ReadShards(folder.path() / "evaluation").ok());  // At the end of a run.
  const absl::Status refused = ReadShards(folder.path() / SeedFolder(77)).status();
  CHECK(absl::IsFailedPrecondition(refused));
  CHECK(refused.message().find("seed-77/test-learned-00000.binpb holds what one in seed-7") !=
        std::string::npos);
}

}  // namespace mentor::meta_learner::TEST_FILE
