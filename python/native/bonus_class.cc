#include "python/native/bonus_class.h"

#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/map.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bonuses/bonus.h"
#include "python/native/unlocked.h"

namespace mentor::python {
namespace {

namespace nb = nanobind;
using namespace nanobind::literals;

template <typename Number, typename Shape>
using In = nb::ndarray<const Number, Shape, nb::c_contig, nb::device::cpu>;
using Rows = In<double, nb::ndim<2>>;
using Flags = In<uint8_t, nb::ndim<1>>;

// Numbers as bytes, which NumPy reads without a copy.
nb::bytes BytesOf(const std::vector<double>& numbers) {
  return nb::bytes(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(double));
}

class AgentsBonus {
 public:
  AgentsBonus(const std::string& name, const std::map<std::string, std::string>& settings,
              int64_t observation, int64_t action, bool discrete, uint64_t seed, uint32_t agent)
      : sizes_{.observation = observation, .action = action, .discrete = discrete} {
    if (observation < 1 || action < 1)
      throw nb::value_error("observations and actions need at least one number");
    v1::EvaluationSpec spec;
    v1::BonusSpec& bonus = *spec.add_bonus();
    bonus.set_name(name);
    for (const auto& [key, value] : settings) {
      v1::Option& option = *bonus.add_option();
      option.set_name(key);
      option.set_value(value);
    }
    Violations violations;
    bonuses::CheckSettings(spec, &violations);
    if (!violations.empty())
      throw nb::value_error(std::string(violations.ToStatus().message()).c_str());
    const bonuses::BonusEntry& entry = *bonuses::FindBonus(name);
    bonus_ = entry.make(sizes_, bonuses::SettingsOf(entry, spec, &violations),
                        {.seed = seed, .lifetime = agent});
  }

  nb::bytes Reward(Rows observations, Rows actions, Rows next, Flags known) {
    const bonuses::Steps steps = StepsOf(observations, actions, next, known);
    std::vector<double> out(steps.count());
    {
      const Unlocked unlocked;
      bonus_->Reward(steps, out);
    }
    return BytesOf(out);
  }

  nb::bytes Peek(Rows observations, Rows actions, Rows next, Flags known) {
    const bonuses::Steps steps = StepsOf(observations, actions, next, known);
    std::vector<double> out(steps.count());
    {
      const Unlocked unlocked;
      bonus_->Peek(steps, out);
    }
    return BytesOf(out);
  }

  void Learn(Rows observations, Rows actions, Rows next, Flags known) {
    const bonuses::Steps steps = StepsOf(observations, actions, next, known);
    const Unlocked unlocked;
    bonus_->Learn(steps);
  }

  nb::bytes Save() const { return BytesOf(bonus_->Save()); }

  void Load(In<double, nb::ndim<1>> numbers) {
    const absl::Status status = bonus_->Load({numbers.data(), numbers.size()});
    if (!status.ok()) throw nb::value_error(std::string(status.message()).c_str());
  }

  double TaskWeight() const { return bonus_->task_weight(); }

 private:
  bonuses::Steps StepsOf(const Rows& observations, const Rows& actions, const Rows& next,
                         const Flags& known) const {
    const auto rows = [&](const char* what, const Rows& x, int64_t width) {
      if (x.shape(0) != known.shape(0) || static_cast<int64_t>(x.shape(1)) != width) {
        throw nb::value_error(absl::StrCat(what, " are [", x.shape(0), ", ", x.shape(1),
                                           "]; give [", known.shape(0), ", ", width, "]")
                                  .c_str());
      }
      return std::vector<double>(x.data(), x.data() + x.size());
    };
    return {.observations = rows("observations", observations, sizes_.observation),
            .actions = rows("actions", actions, sizes_.action),
            .next_observations = rows("next observations", next, sizes_.observation),
            .known = std::vector<uint8_t>(known.data(), known.data() + known.size())};
  }

  const bonuses::StepSizes sizes_;
  std::unique_ptr<bonuses::Bonus> bonus_;
};

}  // namespace

void AddBonus(nb::module_& m) {
  nb::class_<AgentsBonus>(m, "Bonus")
      .def(nb::init<const std::string&, const std::map<std::string, std::string>&, int64_t, int64_t,
                    bool, uint64_t, uint32_t>(),
           "name"_a, "settings"_a, "observation_size"_a, "action_size"_a, "discrete"_a, "seed"_a,
           "agent"_a)
      .def("reward", &AgentsBonus::Reward, "observations"_a, "actions"_a, "next_observations"_a,
           "known"_a)
      .def("peek", &AgentsBonus::Peek, "observations"_a, "actions"_a, "next_observations"_a,
           "known"_a)
      .def("learn", &AgentsBonus::Learn, "observations"_a, "actions"_a, "next_observations"_a,
           "known"_a)
      .def("save", &AgentsBonus::Save)
      .def("load", &AgentsBonus::Load, "numbers"_a)
      .def("task_weight", &AgentsBonus::TaskWeight);
}

}  // namespace mentor::python
