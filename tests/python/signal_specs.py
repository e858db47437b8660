"""Short experiments that together learn every signal network, with all variants of its input."""

BASE = """
seed: 5
benchmark { name: "point_reach" }
lifetime { iterations: 3 steps_per_iteration: 40 }
agent { hidden_units: 8 epochs: 2 minibatches: 2 %(agent)s }
signal { name: "%(network)s" %(signal)s }
rule { name: "%(rule)s" outer_updates: 1 %(options)s }
evaluation { lifetimes_per_goal: 0 }
"""


def options(**values):
    return " ".join(
        f'option {{ name: "{name}" value: "{value}" }}' for name, value in values.items()
    )


def spec(network, rule, signal="", agent="", lifetimes=4, shard=2, **rule_options):
    return BASE % {
        "network": network,
        "signal": signal,
        "rule": rule,
        "agent": agent,
        "options": f"lifetimes_per_update: {lifetimes} shard_lifetimes: {shard} "
        + options(**rule_options),
    }


SMALL = options(enc1=8, enc2=8, lstm=8, heads=8, critic=8)
SPECS = {
    "lstm": spec("lstm", "black_box", SMALL, k=20),
    "lstm_both": spec("lstm_both", "black_box", SMALL, k=20),
    "lstm_advantage": spec(
        "lstm", "black_box", f"role: ADVANTAGE input: SUCCESS_AND_SHAPED {SMALL}", k=20
    ),
    "mlp": spec("mlp", "black_box", options(density="true"), k=20),
    "mlp_time": spec(
        "mlp",
        "meta_gradient",
        "input: SHAPED " + options(outcome="true", time="true", bounded="false"),
        reward_scale=0.5,
        extrinsic="success",
    ),
    "attention": spec(
        "attention",
        "meta_gradient",
        "input: SUCCESS_AND_SHAPED " + options(heads=4, blocks=2, mlp_hidden=24),
    ),
    "attention_as_published": spec(
        "attention",
        "meta_gradient",
        "input: SHAPED "
        + options(
            mlp_hidden=16,
            residual_mlp="false",
            encoder_hidden=0,
            head_hidden=0,
            bounded="false",
            scale_reward="false",
            time="false",
        ),
    ),
    "attention_density": spec(
        "attention", "black_box", "role: ADVANTAGE " + options(density="true"), k=20, epochs=2
    ),
    "attention_past": spec(
        "attention",
        "black_box",
        "input: SUCCESS_AND_SHAPED " + options(density="true", past_only="true"),
        k=20,
        epochs=2,
    ),
    "discount": spec(
        "discount",
        "meta_gradient",
        "role: ADVANTAGE input: SHAPED",
        agent="bootstrap_on_truncation: true",
        outer_data="fresh",
    ),
    "bottleneck": spec("bottleneck", "response_gradient", lifetimes=1, shard=1),
    "bottleneck_unbounded": spec(
        "bottleneck", "response_gradient", options(bounded="false"), lifetimes=1, shard=1
    ),
    "lirpg": spec("mlp", "lirpg", "input: SHAPED", lifetimes=1, shard=1),
    "lstm_normalised": spec(
        "lstm", "black_box", f"{SMALL} {options(normalize_observations='true')}", k=20
    ),
    "loss_conv": spec(
        "loss_conv", "epg", "role: LOSS input: SHAPED " + options(buffer=40, context=4)
    ),
    "drift": spec("drift", "lpo", options(hidden=8)),
    "drift_alone": spec("drift", "lpo", options(hidden=8, from_ppo="false")),
    "discriminator": spec("discriminator", "diayn", options(skills=2), lifetimes=1, shard=1),
}
