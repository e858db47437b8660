// one_hot_task: the number of the task in its benchmark, as a one-hot vector behind the
// observation. Multi-task benchmarks (MT10, MT50) give each environment its own number
// (docs/metaworld.md#the-observation).
#include <algorithm>

#include <absl/strings/str_cat.h>

#include "envs/wrappers/episode_wrapper.h"

namespace mentor::envs {
namespace {

constexpr char kName[] = "one_hot_task";

class OneHotTask : public EpisodeWrapper {
 public:
  OneHotTask(std::unique_ptr<Environment> inner, int index, int count)
      : EpisodeWrapper(std::move(inner), kName, /*extra=*/count, /*state=*/0), index_(index) {}

 protected:
  void Append(std::span<double> extra) const override {
    std::fill(extra.begin(), extra.end(), 0.0);
    extra[index_] = 1;
  }

 private:
  const int index_;
};

struct Config {
  int index, count;
};

const auto kOptions =
    Bind<Config>({{&Config::index, "index", "0", 0, 999, "Number of this task, below count."},
                  {&Config::count, "count", "1", 1, 1000, "Number of tasks: numbers appended."}});

const RegisterWrapper kRegister({
    .name = kName,
    .summary = "Appends the task's number to the observation, one-hot.",
    .options = kOptions.table(),
    .examples = {{{"index", "2"}, {"count", "5"}}},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      const auto [index, count] = kOptions.Read(options);
      if (index >= count) {
        return absl::InvalidArgumentError(absl::StrCat("index is ", index, ", but count is ", count,
                                                       "; give an index below count"));
      }
      return std::make_unique<OneHotTask>(std::move(inner), index, count);
    },
});

}  // namespace
}  // namespace mentor::envs
