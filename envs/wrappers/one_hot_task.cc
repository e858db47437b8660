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

const RegisterWrapper kRegister({
    .name = kName,
    .summary = "Appends the task's number to the observation, one-hot.",
    .options = {{.name = "index",
                 .kind = OptionInfo::Kind::kInteger,
                 .default_value = "0",
                 .min = 0,
                 .max = 999,
                 .help = "Number of this task, below count."},
                {.name = "count",
                 .kind = OptionInfo::Kind::kInteger,
                 .default_value = "1",
                 .min = 1,
                 .max = 1000,
                 .help = "Number of tasks: numbers appended."}},
    .examples = {{{"index", "2"}, {"count", "5"}}},
    .make = [](std::unique_ptr<Environment> inner,
               const OptionValues& options) -> absl::StatusOr<std::unique_ptr<Environment>> {
      const int index = static_cast<int>(options.Integer("index"));
      const int count = static_cast<int>(options.Integer("count"));
      if (index >= count) {
        return absl::InvalidArgumentError(absl::StrCat("index is ", index, ", but count is ", count,
                                                       "; give an index below count"));
      }
      return std::make_unique<OneHotTask>(std::move(inner), index, count);
    },
});

}  // namespace
}  // namespace mentor::envs
