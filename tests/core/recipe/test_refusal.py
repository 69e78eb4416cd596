from __future__ import annotations

import pytest

WEIGHTS = "{hub: timm/repvgg_b0.rvgg_in1k, otherwise: random}"

WANTED_WEIGHTS = (
    "weights: 'random', 'builtin', 'DEFAULT', {path: file}, {package: name, file: path} or {hub: owner/name} is wanted"
)


# Each row breaks the recipe in one way; beside it stand the place and the words of the error.
@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        # YAML
        ("  uses: repvgg", "\tuses: repvgg", "4:1", ["uses: repvgg", "indent with spaces"]),
        ("[features, gradcam]", "[features, gradcam", "21:1", ["no valid YAML", "numerics: {device"]),
        ("deterministic: true}", "deterministic: true", "21:11", ["flow mapping", "stream end", "numerics: {device"]),
        ("[stage4]", "[*]", "14:22", ["while scanning an alias", "begins with '*' in quotes"]),
        ("[stage4]", "[*.conv]", "14:22", ["while scanning an alias", "in quotes"]),
        ("[stage4]", "[*conv]", "14:21", ["alias *conv has no anchor", "begins with '*' in quotes"]),
        ("[stage4]", "[!stage4 ]", "14:21", ["tags such as '!stage4'", "begins with '!' in quotes"]),
        ("[stage4]", "!!python/object/apply:os.system [ls]", "14:20", ["tags", "os.system", "not allowed"]),
        ("[stage4]", "&a [*a]", "14:24", ["alias *a stands within its own anchor"]),
        ("[stage4]", "[" * 3000, "14:80", ["nested more than 64 levels"]),
        ("[stage4]", '"\\UFFFFFFFF"', "14:23", ["escape stands for no character"]),
        ("[stage4]", '"\\ud800"', "14:20", ["escape stands for half a character"]),
        ("[stage4]", "a\x01", "14:21", ["character U+0001 is not allowed"]),
        ("[stage4]", "1" * 5000, "14:20", ["more than 100 digits"]),
        ("inputs:", "---\ninputs:", "7:1", ["a second document begins"]),
        ("inputs:", "name: again\ninputs:", "7:1", ["key 'name' stands in line 7 and already in line 2"]),
        ("form: train}", "variant: A0}", "5:23", ["key 'variant' stands in line 5 and already in line 5"]),
        ("form: train}", "1: train}", "5:23", ["a key is text, not 1", "quotes"]),
        ("form: train}", "~: train}", "5:23", ["a key is text, not null"]),
        ("form: train}", "[a]: train}", "5:23", ["a key is text, not a list or mapping"]),
        # schema
        ("schema: interpretkit/1\n", "", "1:1", ["does not name its schema", "add schema: interpretkit/1"]),
        ("interpretkit/1", "interpretkit/2", "1:9", ["interpretkit/2 needs a newer interpretkit", "upgrade"]),
        ("interpretkit/1", "interpretkit/v9", "1:9", ["interpretkit/v9 needs a newer interpretkit"]),
        ("interpretkit/1", "other/2", "1:9", ["schema: 'interpretkit/1' is wanted, not 'other/2'"]),
        # keys
        ("steps:", "stepz:", "8:1", ["unknown key 'stepz' (", "did you mean 'steps'?"]),
        ("model:", "modle:", "3:1", ["unknown key 'modle'", "did you mean 'model'"]),
        ("numerics:", "<<:", "21:1", ["unknown key '<<'", "known keys: schema, name,"]),
        ("otherwise:", "othrwise:", "6:44", ["unknown key 'othrwise'", "did you mean 'otherwise'?"]),
        ("  with: {variant", "  layer: {variant", "5:3", ["unknown key 'layer'", "stand under 'with:'"]),
        ("    of:", "    layers:", "20:5", ["unknown key 'layers'", "stand under 'with:'"]),
        ("    of:", "    batch_size:", "20:5", ["unknown key 'batch_size' ('batch_size' belongs under 'numerics:')"]),
        ("numerics:", "seed:", "21:1", ["unknown key 'seed'", "'seed' belongs under 'numerics:'"]),
        ("device:", "inputs:", "21:12", ["'inputs' belongs at the top level"]),
        ("device:", "model:", "21:12", ["'model' belongs at the top level or beside the 'uses:' of a step"]),
        ("  - id: gradcam\n    uses: grad_cam", "  - id: gradcam", "12:5", ["key 'uses' is missing"]),
        ("name: repvgg_b0\n", "", "1:1", ["key 'name' is missing"]),
        ("model:", "models: {a: {uses: b}}\nmodel:", "4:1", ["'model' or 'models', not both"]),
        ("numerics:", "models: {}\nnumerics:", "21:1", ["'model' or 'models', not both"]),
        # types and bounds
        ("name: repvgg_b0", "name: 010", "2:7", ["name: text is wanted, not 10", "in quotes"]),
        ("name: repvgg_b0", "name: true", "2:7", ["name: text is wanted, not true"]),
        ("name: repvgg_b0", "name:", "2:6", ["name: text is wanted, not null"]),
        ("[sample:grace_hopper]", "x.png", "7:9", ["inputs: a list is wanted, not 'x.png'", "write [x.png]"]),
        ("[sample:grace_hopper]", "[]", "7:9", ["inputs: a length of at least 1 is wanted, not an empty list"]),
        ("[sample:grace_hopper]", "[a, '']", "7:13", ["inputs[1]: a length of at least 1 is wanted, not ''"]),
        ("[features, gradcam]", "[features, 7]", "20:20", ["of[1]: text is wanted, not 7"]),
        ("{layers: [stage4]}", "[stage4]", "14:11", ["with: a mapping is wanted, not a list of 1"]),
        ("seed: 0", "seed: -1", "21:48", ["seed: a value of at least 0 is wanted, not -1"]),
        ("seed: 0", "seed: 0x8000000000000000", "21:48", ["seed: a value below 9223372036854775808 is wanted"]),
        ("seed: 0", "seed: true", "21:48", ["seed: a whole number is wanted, not true"]),
        ("seed: 0", "seed: .nan", "21:48", ["seed: a whole number is wanted, not .nan"]),
        ("batch_size: 16", "batch_size: 0", "21:63", ["batch_size: a value of at least 1 is wanted, not 0"]),
        ("deterministic: true", "deterministic: on", "21:82", ["true or false is wanted, not 'on'"]),
        ("dtype: float32", "dtype: fp32", "21:33", ["'bfloat16' or 'float16' is wanted, not 'fp32'"]),
        ("device: auto", "device: gpu", "21:20", ["cuda:N or mps is wanted, not 'gpu'"]),
        # weights
        (
            WEIGHTS,
            "pretrained",
            "6:12",
            [WANTED_WEIGHTS],
        ),
        (
            WEIGHTS,
            "{path: a, hub: b/c}",
            "6:12",
            [WANTED_WEIGHTS],
        ),
        (WEIGHTS, "{published: ''}", "6:24", ["published: "]),
        (WEIGHTS, "{hub: timm}", "6:18", ["hub: owner/name is wanted, not 'timm'"]),
        (WEIGHTS, "{path: a, sha256: beef}", "6:30", ["sha256: 64 hexadecimal digits"]),
        (WEIGHTS, "{path: a, sha: beef}", "6:22", ["unknown key 'sha'", "did you mean 'sha256'?"]),
        (WEIGHTS, "{path: 7}", "6:19", ["path: text is wanted, not 7"]),
        ("otherwise: random", "otherwise: zeros", "6:55", ["otherwise: 'random' is wanted, not 'zeros'"]),
        # names and ids
        ("name: repvgg_b0", "name: ../up", "2:7", ["name: '../up' is no name"]),
        ("name: repvgg_b0", "name: CON", "2:7", ["name: 'CON' is no name", "Windows"]),
        ("name: repvgg_b0", "name: nul.txt", "2:7", ["Windows"]),
        ("name: repvgg_b0", "name: end.", "2:7", ["'end.' is no name"]),
        ("name: repvgg_b0", f"name: {'a' * 81}", "2:7", ["is no name: up to 80"]),
        ("id: gradcam", "id: .hidden", "12:9", ["id: '.hidden' is no name"]),
        ("model:\n", "models:\n a b:\n", "4:2", ["a b: 'a b' is no name"]),
        ("uses: repvgg", "uses: os.system", "4:9", ["'os.system' is no id", "registered ids, never code"]),
        ("uses: grad_cam", "uses: ../x.py", "13:11", ["'../x.py' is no id", "registered ids, never code"]),
        # steps
        ("id: gradcam", "id: features", "12:9", ["step id 'features' is taken by 'features' at r.yaml:9:9"]),
        ("id: gradcam", "id: Features", "12:9", ["step id 'Features' is taken by 'features' at r.yaml:9:9"]),
        ("[features, gradcam]", "[features, gradcm]", "20:20", ["no step 'gradcm'", "did you mean 'gradcam'?"]),
        ("[features, gradcam]", "[zzz]", "20:10", ["no step 'zzz'", "known: features, gradcam,"]),
        ("[features, gradcam]", "[agreement]", "20:10", ["step 'agreement' reads itself"]),
        ("id: gradcam", "id: gradcam\n    of: [agreement]", "13:9", ["circle: gradcam → agreement → gradcam"]),
        ("id: gradcam", "id: gradcam\n    model: modle", "13:12", ["no model 'modle'", "did you mean 'model'?"]),
    ],
)
def test_a_broken_recipe_is_refused_at_its_place_in_plain_words(read, *, old, new, place, words, refusal, replaced):
    error = refusal(read, replaced(old, new))
    assert error.where == f"r.yaml:{place}"
    assert [word for word in words if word not in str(error)] == []
