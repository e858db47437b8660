#include "envs/mjcf/plan.h"

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <set>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/check.h"
#include "common/edit_distance.h"
#include "common/file.h"
#include "common/mutex.h"
#include "common/pause_point.h"
#include "common/printable.h"
#include "common/spec/spec.h"
#include "common/status.h"
#include "envs/mjcf/compiler_places.h"
#include "envs/mjcf/program.h"

namespace mentor::envs::mjcf {
namespace {

constexpr uint32_t kDrawsMax = 10'000;
constexpr size_t kRecentPlans = 4;
constexpr int kObservationMax = 10'000;
// Limits of mjcf_task.proto, for counts that were refused already.
constexpr uint32_t kZerosMax = 1000, kActionMax = 1000;

std::vector<double> List(const google::protobuf::RepeatedField<double>& numbers) {
  return {numbers.begin(), numbers.end()};
}
std::optional<std::vector<double>> ListOrNone(const google::protobuf::RepeatedField<double>& list) {
  if (list.empty()) return std::nullopt;
  return List(list);
}

std::string Field(const std::string& list, int index, const char* field = "") {
  return absl::StrCat(list, "[", index, "]", *field == '\0' ? "" : ".", field);
}

// Makes a plan of a task, field by field, and collects violations. Must also survive tasks whose
// ranges and lengths were found wrong.
class Planner {
 public:
  Planner(const v1::MjcfTask& task, std::shared_ptr<const mjModel> model, Violations* violations)
      : m_(*model),
        task_(task),
        quantities_(std::make_shared<Quantities>(*model)),
        violations_(*violations) {
    plan_.task = task;
    plan_.model = std::move(model);
  }

  std::shared_ptr<Plan> Make() {
    Keyframe();
    Aliases();
    Action();
    Parameters();
    Reset();
    Holds();
    Values();
    Observation();
    Outcome();
    Conditions();
    plan_.quantities = quantities_;
    return std::make_shared<Plan>(std::move(plan_));
  }

 private:
  using Target = Plan::Parameter::Target;

  void Wrong(const std::string& field, const std::string& what) { violations_.Add(field, what); }

  // The part of this name, or a violation.
  std::optional<Part> FindPart(const std::string& field, const std::string& name,
                               std::initializer_list<mjtObj> types) {
    const std::vector<mjtObj> list(types);
    const absl::StatusOr<Part> part = quantities_->FindPart(name, list);
    if (part.ok()) return *part;
    Wrong(field, std::string(part.status().message()));
    return std::nullopt;
  }

  void Keyframe() {
    if (!task_.has_keyframe()) return;
    plan_.keyframe = mj_name2id(&m_, mjOBJ_KEY, task_.keyframe().c_str());
    if (plan_.keyframe >= 0) return;
    std::vector<std::string> names;
    for (int i = 0; i < m_.nkey; ++i) {
      if (const char* name = mj_id2name(&m_, mjOBJ_KEY, i)) names.emplace_back(Printable(name));
    }
    Wrong(
        "keyframe",
        absl::StrCat("is '", task_.keyframe(), "', but the model has ",
                     names.empty() ? "no keyframes"
                                   : absl::StrCat("others; ", NameHint(task_.keyframe(), names))));
  }

  void Aliases() {
    for (int i = 0; i < task_.quantity_size(); ++i) {
      const v1::MjcfQuantity& q = task_.quantity(i);
      const std::pair<mjtObj, const std::string*> choices[] = {
          {mjOBJ_BODY, q.has_body() ? &q.body() : nullptr},
          {mjOBJ_SITE, q.has_site() ? &q.site() : nullptr},
          {mjOBJ_GEOM, q.has_geom() ? &q.geom() : nullptr},
          {mjOBJ_JOINT, q.has_joint() ? &q.joint() : nullptr},
          {mjOBJ_SENSOR, q.has_sensor() ? &q.sensor() : nullptr},
          {mjOBJ_ACTUATOR, q.has_actuator() ? &q.actuator() : nullptr}};
      for (const auto& [type, name] : choices) {
        if (name == nullptr) continue;
        // Names of the model, without this list's.
        const Quantities plain(m_);
        const mjtObj types[] = {type};
        const absl::StatusOr<Part> part = plain.FindPart(*name, types);
        if (part.ok()) {
          quantities_->AddAlias(q.name(), *part);
        } else {
          Wrong(Field("quantity", i, KindOf(type)), std::string(part.status().message()));
        }
      }
    }
  }

  void Action() {
    const v1::MjcfAction& action = task_.action();
    int next = 0;
    if (action.has_mocap()) {
      MocapBody(action.mocap());
      next = 3;
    }
    for (int i = 0; i < action.actuator_size(); ++i) Actuator(i, &next);
    plan_.action_size = next + static_cast<int>(std::min(action.ignored(), kActionMax));
    plan_.action_place = quantities_->AddOwn("action", std::max(plan_.action_size, 1));
    plan_.time_place = quantities_->AddOwn("time", 1);
    plan_.step_place = quantities_->AddOwn("step", 1);
    quantities_->AddOwnConstant("dt", m_.opt.timestep * task_.frame_skip());
  }

  void MocapBody(const v1::MjcfMocap& mocap) {
    Plan::Mocap made;
    const auto body = FindPart("action.mocap.body", mocap.body(), {mjOBJ_BODY});
    if (body) {
      made.body = body->id;
      made.mocap = m_.body_mocapid[body->id];
      if (made.mocap < 0) {
        Wrong("action.mocap.body",
              "is '" + mocap.body() + "', which has no mocap=\"true\"; give a mocap body");
      }
    }
    if (mocap.has_follow()) {
      if (const auto follow = FindPart("action.mocap.follow", mocap.follow(), {mjOBJ_BODY}))
        made.follow = follow->id;
    }
    for (int i = 0; i < 3; ++i) {
      if (mocap.scale_size() > 0) made.scale[i] = mocap.scale(mocap.scale_size() == 3 ? i : 0);
    }
    made.low = ListOrNone(mocap.low());
    made.high = ListOrNone(mocap.high());
    made.start = ListOrNone(mocap.start());
    made.orientation = ListOrNone(mocap.orientation());
    plan_.mocap = std::move(made);
  }

  void Actuator(int i, int* next) {
    const v1::MjcfActuator& a = task_.action().actuator(i);
    const std::string field = Field("action.actuator", i);
    Plan::Control control;
    if (a.has_index()) {
      if (a.index() >= static_cast<uint32_t>(m_.nu)) {
        Wrong(field + ".index", absl::StrCat("is ", a.index(), ", but the model has ", m_.nu,
                                             " actuators; give a number below"));
        return;
      }
      control.actuator = static_cast<int>(a.index());
    } else {
      const auto part = FindPart(field + ".name", a.name(), {mjOBJ_ACTUATOR});
      if (!part) return;
      control.actuator = part->id;
    }
    for (const Plan::Control& other : plan_.controls) {
      if (other.actuator == control.actuator)
        Wrong(field, "is set by another entry already; remove one");
    }
    const bool limited = m_.actuator_ctrllimited[control.actuator];
    control.low = m_.actuator_ctrlrange[2 * control.actuator];
    control.high = m_.actuator_ctrlrange[2 * control.actuator + 1];
    if (a.has_gain()) {
      control.gain = a.gain();
      control.clips = !limited;
    } else if (!limited) {
      Wrong(field,
            "has no ctrlrange in the model, to which actions could be scaled; give one "
            "there, or a gain here");
    }
    if (a.relative()) {
      if (m_.actuator_trntype[control.actuator] != mjTRN_JOINT ||
          QposSize(m_, m_.actuator_trnid[2 * control.actuator]) != 1) {
        Wrong(field + ".relative", "is for an actuator of a hinge or slide joint; leave it out");
      } else {
        control.qpos = m_.jnt_qposadr[m_.actuator_trnid[2 * control.actuator]];
      }
    }
    if (a.has_number()) {
      if (a.number() > static_cast<uint32_t>(*next)) {
        Wrong(field + ".number", absl::StrCat("is ", a.number(), ", but only ", *next,
                                              " numbers are in use before; give at most ", *next));
        return;
      }
      control.number = static_cast<int>(a.number());
      *next = std::max(*next, control.number + 1);
    } else {
      control.number = (*next)++;
    }
    plan_.controls.push_back(control);
  }

  void Parameters() {
    for (int i = 0; i < task_.parameter_size(); ++i) {
      const v1::MjcfParameter& p = task_.parameter(i);
      const std::string field = Field("parameter", i);
      Plan::Parameter made{.name = p.name(),
                           .low = List(p.low()),
                           .high = List(p.high()),
                           .first = plan_.parameter_count,
                           .hidden = p.goal_hidden(),
                           .after_settling = p.after_settling()};
      made.place = quantities_->AddOwn(p.name(), std::max(made.size(), 1));
      if (p.goal_hidden()) {
        for (int k = 0; k < made.size(); ++k) hidden_.insert(made.place + k);
      }
      WhereTo(p, field, &made);
      plan_.parameter_count += made.size();
      plan_.has_hidden = plan_.has_hidden || made.hidden;
      plan_.parameters.push_back(std::move(made));
    }
  }

  void WhereTo(const v1::MjcfParameter& p, const std::string& field, Plan::Parameter* made) {
    struct Choice {
      bool set;
      const char* name;
      const std::string* value;
      mjtObj type;
      Target target;
    };
    const Choice choices[] = {
        {p.has_body(), "body", &p.body(), mjOBJ_BODY, Target::kBody},
        {p.has_site(), "site", &p.site(), mjOBJ_SITE, Target::kSite},
        {p.has_mocap(), "mocap", &p.mocap(), mjOBJ_BODY, Target::kMocap},
        {p.has_joint(), "joint", &p.joint(), mjOBJ_JOINT, Target::kJoint},
        {p.has_mass(), "mass", &p.mass(), mjOBJ_BODY, Target::kMass},
        {p.has_friction(), "friction", &p.friction(), mjOBJ_GEOM, Target::kFriction},
        {p.has_size(), "size", &p.size(), mjOBJ_GEOM, Target::kSize},
        {p.has_damping(), "damping", &p.damping(), mjOBJ_JOINT, Target::kDamping}};
    for (const Choice& choice : choices) {
      if (!choice.set) continue;
      const std::string path = absl::StrCat(field, ".", choice.name);
      const auto part = FindPart(path, *choice.value, {choice.type});
      if (!part) return;
      made->target = choice.target;
      made->id = part->id;
      CheckTarget(path, *choice.value, made);
      for (const Plan::Parameter& other : plan_.parameters) {
        if (other.target == made->target && other.id == made->id &&
            other.after_settling == made->after_settling) {
          Wrong(path, absl::StrCat("is '", *choice.value, "', where parameter '", other.name,
                                   "' is written already; take one of them out"));
        }
      }
      if (made->hidden && (choice.type == mjOBJ_BODY || choice.type == mjOBJ_SITE) &&
          choice.target != Target::kMass) {
        for (const int place : quantities_->Position(*part)) hidden_.insert(place);
      }
    }
  }

  void CheckTarget(const std::string& path, const std::string& name, Plan::Parameter* made) {
    const auto zero = [&](double nominal) {
      if (nominal > 0) return;
      Wrong(path, "is '" + name + "', which has 0 of it in the model; give it a number there");
    };
    switch (made->target) {
      case Target::kNone:
      case Target::kSite:
        break;
      case Target::kBody:
        if (made->id == 0) Wrong(path, "is the world; give a body in it");
        if (m_.body_mocapid[made->id] >= 0)
          Wrong(path, "is '" + name + "', a mocap body; write mocap: \"" + name + "\"");
        break;
      case Target::kMocap:
        made->id = m_.body_mocapid[made->id];
        if (made->id < 0) Wrong(path, "is '" + name + "', which has no mocap=\"true\"");
        break;
      case Target::kJoint:
        if (made->size() > QposSize(m_, made->id)) {
          Wrong(path, absl::StrCat("is '", name, "', which has ", QposSize(m_, made->id),
                                   " positions, but low has ", made->size(), " numbers"));
        }
        break;
      case Target::kMass:
        zero(m_.body_mass[made->id]);
        plan_.changes_physics = true;
        break;
      case Target::kFriction:
        zero(m_.geom_friction[3 * made->id]);
        plan_.changes_physics = true;
        break;
      case Target::kSize: {
        const int type = m_.geom_type[made->id];
        if (type < mjGEOM_SPHERE || type > mjGEOM_BOX)
          Wrong(path, "is '" + name + "', which is no sphere, capsule, ellipsoid, cylinder or box");
        zero(m_.geom_size[3 * made->id]);
        plan_.changes_physics = true;
        break;
      }
      case Target::kDamping:
        zero(m_.dof_damping[m_.jnt_dofadr[made->id]]);
        plan_.changes_physics = true;
        break;
    }
    if (plan_.changes_physics && m_.nflex > 0)
      Wrong(path, "would change the physics of a model with flexible bodies; take it out");
  }

  void Reset() {
    const v1::MjcfReset& reset = task_.reset();
    for (int i = 0; i < reset.noise_size(); ++i) {
      const v1::MjcfNoise& n = reset.noise(i);
      const std::string field = Field("reset.noise", i);
      Plan::Noise made{.low = List(n.low()),
                       .high = List(n.high()),
                       .normal = n.normal(),
                       .replace = n.replace(),
                       .after_settling = n.after_settling()};
      if (n.has_body()) {
        made.target = Plan::Noise::Target::kBody;
        made.count = 3;
        if (const auto part = FindPart(field + ".body", n.body(), {mjOBJ_BODY})) {
          made.first = part->id;
          if (m_.body_mocapid[part->id] >= 0 || part->id == 0)
            Wrong(field + ".body", "is '" + n.body() +
                                       "', which MuJoCo does not place so; give a "
                                       "body that is neither mocap nor the world");
        }
      } else if (n.has_qpos() || n.has_qvel()) {
        const bool velocity = n.has_qvel();
        const std::string& name = velocity ? n.qvel() : n.qpos();
        made.target = velocity ? Plan::Noise::Target::kQvel : Plan::Noise::Target::kQpos;
        made.count = velocity ? m_.nv : m_.nq;
        if (name != "*") {
          const auto part = FindPart(field + (velocity ? ".qvel" : ".qpos"), name, {mjOBJ_JOINT});
          if (part) {
            made.first = velocity ? m_.jnt_dofadr[part->id] : m_.jnt_qposadr[part->id];
            made.count = velocity ? QvelSize(m_, part->id) : QposSize(m_, part->id);
          }
        }
      }
      if (made.count > 0 && static_cast<int>(made.low.size()) > made.count) {
        Wrong(field + ".low", absl::StrCat("has ", made.low.size(), " numbers, but there are ",
                                           made.count, " components; give 1, or one for each"));
      }
      plan_.noise_before_settling = plan_.noise_before_settling || !made.after_settling;
      plan_.noise.push_back(std::move(made));
    }
    plan_.settle_control = List(reset.control());
    if (!plan_.settle_control.empty() && static_cast<int>(plan_.settle_control.size()) != m_.nu) {
      Wrong("reset.control",
            absl::StrCat("has ", plan_.settle_control.size(), " numbers, the model ", m_.nu,
                         " actuators; give one for each"));
    }
  }

  void Holds() {
    for (int i = 0; i < task_.hold_size(); ++i) {
      const std::string field = Field("hold", i, "joint");
      const auto part = FindPart(field, task_.hold(i).joint(), {mjOBJ_JOINT});
      if (!part) continue;
      if (QposSize(m_, part->id) != 1) {
        Wrong(field, "is '" + task_.hold(i).joint() + "', which is no hinge or slide joint");
        continue;
      }
      plan_.holds.push_back({m_.jnt_qposadr[part->id], task_.hold(i).qpos()});
    }
  }

  // The expression's places, or none with a violation. `hidden`: it may see hidden parameters.
  std::optional<Expression> CompileAt(const std::string& field, const std::string& text) {
    absl::StatusOr<Expression> compiled = Compile(text, *quantities_);
    if (!compiled.ok()) {
      Wrong(field, std::string(compiled.status().message()));
      return std::nullopt;
    }
    for (const std::string& component : compiled->components) texts_bytes_ += component.size();
    if (texts_bytes_ > kTextsBytesMax) {
      Wrong(field, absl::StrCat("makes all expressions together, with their vectors written out, ",
                                "longer than ", kTextsBytesMax, " bytes; compute less"));
      return std::nullopt;
    }
    return *std::move(compiled);
  }
  std::optional<Expression> CompileNumber(const std::string& field, const std::string& text) {
    std::optional<Expression> compiled = CompileAt(field, text);
    if (!compiled || compiled->components.size() == 1) return compiled;
    Wrong(field, absl::StrCat("is a vector of ", compiled->components.size(),
                              " components; give a number, for instance norm(...)"));
    return std::nullopt;
  }
  bool SeesHidden(const Expression& expression) const {
    return std::any_of(expression.places.begin(), expression.places.end(),
                       [this](int place) { return hidden_.contains(place); });
  }

  // Adds to the last batch, or to a new one when it reads a result of that batch.
  static void Schedule(const Expression& expression, int first_output, const std::string& name,
                       std::vector<Batch>* batches) {
    bool waits = batches->empty();
    for (const int place : expression.places) {
      if (waits) break;
      const std::vector<int>& outputs = batches->back().outputs;
      waits = std::find(outputs.begin(), outputs.end(), place) != outputs.end();
    }
    if (waits) batches->emplace_back();
    Batch& batch = batches->back();
    for (size_t i = 0; i < expression.components.size(); ++i) {
      batch.texts.push_back(expression.components[i]);
      batch.outputs.push_back(first_output + static_cast<int>(i));
      batch.names.push_back(name);
    }
  }

  void Values() {
    for (int i = 0; i < task_.value_size(); ++i) {
      const v1::MjcfValue& value = task_.value(i);
      const auto compiled = CompileAt(Field("value", i, "expression"), value.expression());
      if (!compiled) {
        quantities_->AddOwn(value.name(), 1);  // So that other expressions may name it.
        continue;
      }
      const int size = static_cast<int>(compiled->components.size());
      const int place = quantities_->AddOwn(value.name(), size);
      for (int k = 0; k < size && SeesHidden(*compiled); ++k) hidden_.insert(place + k);
      const std::string name = absl::StrCat("value '", value.name(), "'");
      Schedule(*compiled, place, name, &plan_.at_reset);
      if (value.at() == v1::STEP) {
        Schedule(*compiled, place, name, &plan_.at_step);
      } else {
        for (int k = 0; k < size; ++k) plan_.remembered.push_back(place + k);
      }
    }
  }

  // Places of an observation's numbers.
  std::vector<int> PlacesOf(int i) {
    const v1::MjcfObservation& o = task_.observation(i);
    const std::string field = Field("observation", i);
    if (o.has_zeros()) return std::vector<int>(std::min(o.zeros(), kZerosMax), Zero());
    if (o.has_sensor()) {
      const auto part = FindPart(field + ".sensor", o.sensor(), {mjOBJ_SENSOR});
      return part ? quantities_->Sensor(part->id) : std::vector<int>();
    }
    if (o.has_qpos() || o.has_qvel()) {
      const std::string& name = o.has_qpos() ? o.qpos() : o.qvel();
      const auto of = [&](int joint) {
        return o.has_qpos() ? quantities_->Qpos(joint) : quantities_->Qvel(joint);
      };
      if (name != "*") {
        const auto part = FindPart(field + (o.has_qpos() ? ".qpos" : ".qvel"), name, {mjOBJ_JOINT});
        return part ? of(part->id) : std::vector<int>();
      }
      std::vector<int> all;
      for (int joint = 0; joint < m_.njnt; ++joint) {
        const std::vector<int> places = of(joint);
        all.insert(all.end(), places.begin(), places.end());
      }
      return all;
    }
    if (o.has_position() || o.has_orientation()) {
      const bool position = o.has_position();
      const auto part =
          FindPart(field + (position ? ".position" : ".orientation"),
                   position ? o.position() : o.orientation(), {mjOBJ_BODY, mjOBJ_SITE, mjOBJ_GEOM});
      if (!part) return {};
      for (const Plan::Parameter& p : plan_.parameters) {
        const bool body = part->type == mjOBJ_BODY;
        const bool same =
            (p.target == Target::kBody && body && p.id == part->id) ||
            (p.target == Target::kMocap && body && p.id == m_.body_mocapid[part->id]) ||
            (p.target == Target::kSite && part->type == mjOBJ_SITE && p.id == part->id);
        if (p.hidden && same) {
          Wrong(field, absl::StrCat("shows where parameter '", p.name,
                                    "' is written, which has goal_hidden; take one of them out"));
        }
      }
      return position ? quantities_->Position(*part) : quantities_->Orientation(*part);
    }
    if (o.has_parameter()) {
      for (const Plan::Parameter& p : plan_.parameters) {
        if (p.name != o.parameter()) continue;
        std::vector<int> places;
        for (int k = 0; k < p.size(); ++k) places.push_back(p.place + k);
        return places;
      }
      std::vector<std::string> names;
      for (const Plan::Parameter& p : plan_.parameters) names.push_back(p.name);
      Wrong(field + ".parameter",
            absl::StrCat(
                "is '", o.parameter(), "', but the task has ",
                names.empty() ? "no parameters" : "others; " + NameHint(o.parameter(), names)));
      return {};
    }
    if (!o.has_expression()) return {};
    const auto compiled = CompileAt(field + ".expression", o.expression());
    if (!compiled) return {};
    if (SeesHidden(*compiled)) {
      Wrong(field + ".expression",
            "depends on a parameter with goal_hidden, or on where it is written; show it by "
            "parameter: \"...\", which hides it, or leave goal_hidden out");
    }
    const int size = static_cast<int>(compiled->components.size());
    const int place = quantities_->Allocate(size);
    Schedule(*compiled, place, Field("observation", i), &plan_.at_reset);
    Schedule(*compiled, place, Field("observation", i), &plan_.at_step);
    std::vector<int> places(size);
    for (int k = 0; k < size; ++k) places[k] = place + k;
    return places;
  }

  int Zero() {
    if (zero_ < 0) zero_ = quantities_->Constant(0);
    return zero_;
  }

  void Observation() {
    for (int i = 0; i < task_.observation_size(); ++i) {
      const v1::MjcfObservation& o = task_.observation(i);
      const std::vector<int> places = PlacesOf(i);
      const bool clipped = o.low_size() > 0 && o.high_size() == o.low_size();
      if (clipped && !places.empty() && o.low_size() != 1 &&
          o.low_size() != static_cast<int>(places.size())) {
        Wrong(Field("observation", i, "low"),
              absl::StrCat("has ", o.low_size(), " numbers for ", places.size(),
                           "; give 1, or one for each"));
        continue;
      }
      bool hidden = false;
      for (const Plan::Parameter& p : plan_.parameters)
        hidden = hidden || (p.hidden && o.has_parameter() && p.name == o.parameter());
      for (size_t k = 0; k < places.size(); ++k) {
        const int bound = o.low_size() > 1 ? static_cast<int>(k) : 0;
        plan_.observation.push_back({.place = places[k],
                                     .low = clipped ? o.low(bound) : 0,
                                     .high = clipped ? o.high(bound) : 0,
                                     .clipped = clipped,
                                     .previous = o.previous(),
                                     .hidden = hidden});
        plan_.previous_count += o.previous();
      }
      if (plan_.observation.size() > kObservationMax) {
        Wrong("observation",
              absl::StrCat("has more than ", kObservationMax, " numbers; give less"));
        return;
      }
    }
  }

  void Outcome() {
    for (int i = 0; i < task_.reward_size(); ++i) {
      const v1::MjcfTerm& term = task_.reward(i);
      const auto compiled = CompileNumber(Field("reward", i, "expression"), term.expression());
      const int place = quantities_->AddOwn(term.name(), 1);
      if (!compiled) continue;
      Schedule(*compiled, place, absl::StrCat("reward '", term.name(), "'"), &plan_.at_step);
      plan_.terms.push_back({place, term.weight()});
      plan_.term_names.push_back(term.name());
    }
    const auto flag = [this](const char* name, bool set, const std::string& text, int* place) {
      if (!set) return;
      const auto compiled = CompileNumber(name, text);
      if (!compiled) return;
      *place = quantities_->Allocate(1);
      Schedule(*compiled, *place, name, &plan_.at_step);
    };
    flag("success", task_.has_success(), task_.success(), &plan_.success_place);
    flag("terminated", task_.has_terminated(), task_.terminated(), &plan_.terminated_place);
  }

  void Conditions() {
    if (task_.reset().has_condition()) {
      if (const auto compiled = CompileNumber("reset.condition", task_.reset().condition())) {
        plan_.condition = Batch{.texts = compiled->components,
                                .outputs = {quantities_->Allocate(1)},
                                .names = {"reset.condition"}};
      }
    }
    if (!task_.has_parameter_condition()) return;
    const auto compiled = CompileNumber("parameter_condition", task_.parameter_condition());
    if (!compiled) return;
    for (const int place : compiled->places) {
      const bool of_parameter = std::any_of(
          plan_.parameters.begin(), plan_.parameters.end(),
          [place](const auto& p) { return place >= p.place && place < p.place + p.size(); });
      if (of_parameter) continue;
      Wrong("parameter_condition", "names what is no parameter; give one over parameters alone");
      return;
    }
    plan_.parameter_condition = Batch{.texts = compiled->components,
                                      .outputs = {quantities_->Allocate(1)},
                                      .names = {"parameter_condition"}};
  }

  const mjModel& m_;
  const v1::MjcfTask& task_;
  const std::shared_ptr<Quantities> quantities_;
  Violations& violations_;
  Plan plan_;
  std::set<int> hidden_;  // Places that depend on hidden parameters.
  int zero_ = -1;
  size_t texts_bytes_ = 0;
};

// --- For people ---

std::string ObservationHelp(const v1::MjcfTask& task) {
  std::vector<std::string> parts;
  for (const v1::MjcfObservation& o : task.observation()) {
    std::string text = o.has_sensor()        ? "sensor " + o.sensor()
                       : o.has_qpos()        ? "positions of " + o.qpos()
                       : o.has_qvel()        ? "velocities of " + o.qvel()
                       : o.has_position()    ? "position of " + o.position()
                       : o.has_orientation() ? "orientation of " + o.orientation()
                       : o.has_parameter()   ? "parameter " + o.parameter()
                       : o.has_expression()  ? o.expression()
                                             : absl::StrCat(o.zeros(), " zeros");
    if (o.previous()) text += " before the last step";
    parts.push_back(std::move(text));
  }
  return absl::StrJoin(parts, "; ");
}

std::string RewardHelp(const v1::MjcfTask& task) {
  std::vector<std::string> lines;
  for (const v1::MjcfTerm& term : task.reward()) {
    lines.push_back(absl::StrCat(
        term.name(), term.weight() == 1 ? "" : absl::StrCat(" (times ", term.weight(), ")"), ": ",
        term.expression()));
  }
  if (task.has_success()) lines.push_back("success when above 0: " + task.success());
  if (task.has_terminated()) lines.push_back("ends when above 0: " + task.terminated());
  return absl::StrJoin(lines, "\n");
}

std::string RandomHelp(const v1::MjcfTask& task) {
  std::vector<std::string> lines;
  for (const v1::MjcfNoise& noise : task.reset().noise()) {
    lines.push_back(absl::StrCat(noise.has_body()   ? "position of body " + noise.body()
                                 : noise.has_qvel() ? "velocities of " + noise.qvel()
                                                    : "positions of " + noise.qpos(),
                                 noise.replace() ? " = " : " + ", noise.normal() ? "N(" : "U(",
                                 absl::StrJoin(noise.low(), " "), ", ",
                                 absl::StrJoin(noise.high(), " "), ")"));
  }
  if (lines.empty()) lines.emplace_back("nothing: a reset is a function of the task");
  if (task.reset().has_condition())
    lines.push_back("drawn again unless above 0: " + task.reset().condition());
  return absl::StrJoin(lines, "\n");
}

std::string TaskHelp(const v1::MjcfTask& task) {
  std::vector<std::string> lines;
  for (const v1::MjcfParameter& p : task.parameter()) {
    lines.push_back(absl::StrCat(p.name(), " from (", absl::StrJoin(p.low(), ", "), ") to (",
                                 absl::StrJoin(p.high(), ", "), ")",
                                 p.goal_hidden() ? ", hidden unless goal_visible" : ""));
  }
  if (lines.empty()) return "parameters: none";
  if (task.has_parameter_condition())
    lines.push_back("drawn again unless above 0: " + task.parameter_condition());
  return "parameters: " + absl::StrJoin(lines, "\n");
}

EnvironmentHelp HelpOf(const Plan& plan) {
  return {.observation = ObservationHelp(plan.task),
          .reward = RewardHelp(plan.task),
          .random = RandomHelp(plan.task),
          .task = TaskHelp(plan.task),
          .source = absl::StrCat(plan.task.model(), " of bundle ", BundleName(plan.digest))};
}

// Checks vectors against a plan's condition.
class ParameterCheck {
 public:
  explicit ParameterCheck(const Plan& plan) : plan_(plan) {
    if (!plan.parameter_condition) return;
    numbers_ = plan.quantities->initial();
    program_.emplace(plan.parameter_condition->texts, numbers_);
  }

  bool operator()(std::span<const double> vector) {
    if (!program_) return true;
    for (const Plan::Parameter& p : plan_.parameters)
      std::copy_n(vector.begin() + p.first, p.size(), numbers_.begin() + p.place);
    double result = 0;
    return program_->Run({&result, 1}) && result > 0;
  }

 private:
  const Plan& plan_;
  std::vector<double> numbers_;
  std::optional<Program> program_;
};

}  // namespace

bool Plan::Meets(std::span<const double> vector) const {
  return ParameterCheck(*this)(vector);
}

std::vector<double> Plan::Draw(const RandomStream& random, uint32_t index) const {
  std::vector<double> vector(parameter_count);
  // First, because reading the condition's text takes time.
  if (!PausePoint().ok()) return vector;
  ParameterCheck meets(*this);
  for (uint32_t attempt = 0; attempt < kDrawsMax; ++attempt) {
    for (const Parameter& p : parameters) {
      for (int k = 0; k < p.size(); ++k) {
        const int i = p.first + k;
        vector[i] = p.low[k] +
                    (p.high[k] - p.low[k]) * random.Uniform(index, attempt * parameter_count + i);
      }
    }
    if (meets(vector) || !PausePoint().ok()) break;
  }
  return vector;
}

PhysicsFactors Plan::Physics(std::span<const double> vector) const {
  PhysicsFactors factors = PhysicsFactors::Nominal(*model);
  for (const Parameter& p : parameters) {
    if (p.size() == 0) continue;
    const double value = vector[p.first];
    switch (p.target) {
      case Parameter::Target::kMass:
        factors.mass[p.id] *= value / model->body_mass[p.id];
        break;
      case Parameter::Target::kFriction:
        factors.friction[p.id] *= value / model->geom_friction[3 * p.id];
        break;
      case Parameter::Target::kSize:
        factors.size[p.id] *= value / model->geom_size[3 * p.id];
        break;
      case Parameter::Target::kDamping:
        factors.damping[p.id] *= value / model->dof_damping[model->jnt_dofadr[p.id]];
        break;
      default:
        break;
    }
  }
  return factors;
}

namespace {

// The digest, and a name for people: the folder of an own bundle, else its model.
std::string TitleOf(const HeldBundle& bundle, const std::string& model) {
  const std::filesystem::path& folder = bundle.folder();
  const std::string name = (folder.has_filename() ? folder : folder.parent_path()).filename();
  const std::string called = name == bundle.manifest().digest ? model : name + "/";
  return absl::StrCat("bundle ", BundleName(bundle.manifest().digest),
                      called.empty() ? "" : " (" + Printable(called.substr(0, 100)) + ")");
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Plan>> MakePlan(const HeldBundle& bundle,
                                                     const CompilerLimits& limits) {
  std::string title = TitleOf(bundle, "");
  const auto wrong = [&](const std::string& what) {
    return absl::InvalidArgumentError(absl::StrCat(title, ":\n", what));
  };
  const absl::StatusOr<std::string> text = ReadFile(bundle.folder() / kTaskFile, kSpecBytesMax);
  if (absl::IsNotFound(text.status()))
    return wrong(absl::StrCat("has no ", kTaskFile, "; docs/own_tasks.md says what stands in it"));
  if (!text.ok()) return text.status();
  Violations violations;
  const v1::MjcfTask task = ReadTask(*text, &violations);
  title = TitleOf(bundle, task.model());
  std::shared_ptr<Plan> plan;
  const auto& files = bundle.manifest().files;
  const bool there = std::any_of(files.begin(), files.end(),
                                 [&](const BundleFile& file) { return file.path == task.model(); });
  if (!task.model().empty() && !there) {
    std::vector<std::string> models;
    for (const BundleFile& file : files) {
      if (file.path.ends_with(".xml")) models.push_back(file.path);
    }
    violations.Add(
        "model",
        absl::StrCat("is '", Printable(task.model()), "', but the bundle has no such file; ",
                     models.empty() ? "and no other .xml" : NameHint(task.model(), models)));
  } else if (there) {
    absl::StatusOr<std::shared_ptr<const mjModel>> model =
        CompileModel(bundle, task.model(), limits);
    if (absl::IsInvalidArgument(model.status())) {
      violations.Add("model", std::string(model.status().message()));
    } else if (!model.ok()) {
      return WithPrefix(absl::StrCat(title, ": "), model.status());
    } else {
      plan = Planner(task, *std::move(model), &violations).Make();
    }
  }
  if (violations.empty() && plan->parameter_condition) {
    const RandomStream random{.purpose = Purpose::kTasks};
    const bool met = plan->Meets(plan->Draw(random, 0));
    // The bundle is not at fault.
    if (const absl::Status status = PausePoint(); !status.ok())
      return absl::CancelledError(absl::StrCat(title, ": ", status.message()));
    if (!met) {
      violations.Add("parameter_condition",
                     absl::StrCat("is met by none of ", kDrawsMax, " draws; widen the ranges"));
    }
  }
  if (!violations.empty()) return wrong(std::string(violations.ToStatus().message()));
  plan->digest = bundle.manifest().digest;
  plan->help = HelpOf(*plan);
  return plan;
}

namespace {

using Clock = std::chrono::steady_clock;

// Repeated requests for a bad bundle get its error at once and cost no process.
constexpr std::chrono::minutes kRefusedFor{1};
constexpr size_t kRefusedMax = 100;

// The plans of this process.
struct KnownPlans {
  Mutex mutex;
  CondVar changed;
  std::map<std::string, std::weak_ptr<const Plan>> plans ABSL_GUARDED_BY(mutex);
  // The last ones asked for stay, because tasks are drawn where no environment is.
  std::deque<std::shared_ptr<const Plan>> recent ABSL_GUARDED_BY(mutex);
  std::set<std::string> in_the_making ABSL_GUARDED_BY(mutex);
  std::map<std::string, std::pair<absl::Status, Clock::time_point>> refused ABSL_GUARDED_BY(mutex);
};

absl::StatusOr<std::shared_ptr<const Plan>> MakePlanOf(const std::string& name) {
  MENTOR_ASSIGN_OR_RETURN(const std::shared_ptr<const HeldBundle> bundle, FindBundle(name));
  absl::StatusOr<std::shared_ptr<const Plan>> made = MakePlan(*bundle);
  // A cache may be emptied or damaged at any time: then the error belongs to other files.
  const absl::Status still = VerifyBundle(bundle->folder(), bundle->manifest().digest).status();
  if (still.ok()) return made;
  return absl::UnavailableError(
      absl::StrCat(name, " was changed while it was read: ", still.message()));
}

}  // namespace

absl::StatusOr<std::shared_ptr<const Plan>> FindPlan(const std::string& name) {
  static KnownPlans& known = *new KnownPlans;  // Threads may ask while the process ends.
  {
    MutexLock lock(known.mutex);
    for (;;) {
      std::erase_if(known.refused,
                    [](const auto& entry) { return entry.second.second < Clock::now(); });
      if (const auto found = known.plans.find(name); found != known.plans.end()) {
        if (std::shared_ptr<const Plan> plan = found->second.lock()) return plan;
      }
      if (const auto found = known.refused.find(name); found != known.refused.end())
        return found->second.first;
      // One thread at a time, or several would compile the same model.
      if (known.in_the_making.insert(name).second) break;
      known.changed.WaitFor(lock, kLook);
      lock.Unlock();
      const absl::Status goes_on = PausePoint();
      lock.Lock();
      MENTOR_RETURN_IF_ERROR(goes_on);
    }
  }
  absl::StatusOr<std::shared_ptr<const Plan>> made = MakePlanOf(name);
  const MutexLock lock(known.mutex);
  known.in_the_making.erase(name);
  known.changed.NotifyAll();
  std::erase_if(known.plans, [](const auto& entry) { return entry.second.expired(); });
  if (absl::IsInvalidArgument(made.status()) && known.refused.size() < kRefusedMax)
    known.refused[name] = {made.status(), Clock::now() + kRefusedFor};
  MENTOR_RETURN_IF_ERROR(made.status());
  known.plans[name] = *made;
  known.recent.push_back(*made);
  if (known.recent.size() > kRecentPlans) known.recent.pop_front();
  return made;
}

}  // namespace mentor::envs::mjcf
