"""Checks the files that `sidenet convert` writes by reading them with PyTorch (1.13 or later) and comparing every bit.

    python3 check_checkpoints.py FIXTURES SIDENET...

FIXTURES holds files that PyTorch wrote (tests/fixtures/checkpoints); SIDENET is the command of the tool. Every good file is
converted to a PyTorch file and to safetensors, and the safetensors file back to a PyTorch file. What PyTorch reads from the
results must equal what it reads from the original. Exit status 1 when anything differs.
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

try:
    import torch
except ModuleNotFoundError:
    sys.exit("Cannot check checkpoints: this python3 must have torch (on Debian: apt-get install python3-torch)")

NESTED = ("model_state_dict", "model_state")


def load(path, weights_only=True):
    return torch.load(path, map_location="cpu", weights_only=weights_only)


def original(path):
    """What PyTorch itself reads: a state dict, a training checkpoint, or a TorchScript module."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(name.endswith("/constants.pkl") for name in archive.namelist()):
                return dict(torch.jit.load(path, map_location="cpu").state_dict())
    except zipfile.BadZipFile:
        pass
    return torch.load(path, map_location="cpu")


def bits(tensor):
    tensor = tensor.detach().contiguous()
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy().tobytes()


def differences(found, expected, path=""):
    """Names of what differs between two trees."""
    if isinstance(expected, torch.Tensor):
        same = (isinstance(found, torch.Tensor) and found.dtype == expected.dtype and found.shape == expected.shape
                and bits(found) == bits(expected))
        return [] if same else [path]
    if isinstance(expected, dict):
        if not isinstance(found, dict) or set(found) != set(expected):
            return [path + " (keys)"]
        return [name for key in expected for name in differences(found[key], expected[key], f"{path}/{key}")]
    if isinstance(expected, (list, tuple)):
        if type(found) is not type(expected) or len(found) != len(expected):
            return [path + " (items)"]
        return [name for i, item in enumerate(expected) for name in differences(found[i], item, f"{path}/{i}")]
    return [] if type(found) is type(expected) and found == expected else [path]


def one_nan(tree):
    """The same tensors with one kind of NaN: narrowing keeps NaNs, not which one it was."""
    return {name: torch.where(value.isnan(), torch.full_like(value, float("nan")), value)
            if value.is_floating_point() else value for name, value in tree.items()}


def state_dict(tree):
    """The weights alone, without the prefix of DistributedDataParallel."""
    for key in NESTED:
        if key in tree:
            tree = tree[key]
    if all(name.startswith("module.") for name in tree):
        tree = {name[len("module."):]: value for name, value in tree.items()}
    # A TorchScript module also lists names without a tensor; a state dict has none.
    return {name: value for name, value in tree.items() if isinstance(value, torch.Tensor)}


def main():
    fixtures, sidenet = pathlib.Path(sys.argv[1]), sys.argv[2:]
    index = json.loads((fixtures / "index.json").read_text())
    # The reader of PyTorch 1.13 knows no floats: a learning rate in a file makes it refuse weights_only.
    knows_floats = int(torch.__version__.split(".")[0]) >= 2
    checks = failed = 0

    def check(name, found, expected):
        nonlocal checks, failed
        wrong = differences(found, expected)
        checks += 1
        failed += bool(wrong)
        print(("ok    " if not wrong else "FAIL  ") + name + (": " + ", ".join(wrong[:5]) if wrong else ""))

    with tempfile.TemporaryDirectory() as folder:
        def convert(source, target, *flags):
            subprocess.run([*sidenet, "convert", str(source), f"{folder}/{target}", *flags], check=True,
                           stdout=subprocess.DEVNULL)
            return f"{folder}/{target}"

        for entry in index["files"]:
            if "expect" not in entry:
                continue
            source = fixtures / entry["file"]
            tree = original(source)
            nested = any(key in tree for key in (*NESTED, "optimizer_state_dict"))
            if nested:
                check(f"{entry['file']} --all", load(convert(source, "all.pt", "--all"), knows_floats), tree)
            if not any(key in tree for key in NESTED) and nested:
                continue  # an optimiser file holds no weights
            weights = state_dict(tree)
            check(f"{entry['file']}", load(convert(source, "weights.pt")), weights)
            through = convert(convert(source, "weights.safetensors"), "back.pt", "--key", "model_state_dict")
            check(f"{entry['file']} through safetensors", load(through)["model_state_dict"], weights)
            if not nested:
                narrow = load(convert(source, "half.pth", "--dtype", "bf16"))
                check(f"{entry['file']} --dtype bf16", one_nan(narrow), one_nan({
                    name: value.detach().float().to(torch.bfloat16) if value.is_floating_point() else value
                    for name, value in weights.items()}))
    print(f"{checks} checks, {failed} failed, PyTorch {torch.__version__}")
    sys.exit(1 if failed or checks == 0 else 0)


main()
