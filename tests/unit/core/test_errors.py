import inspect

import arbkit.core.errors as errors


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    made = {
        name: kind
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__ and issubclass(kind, Exception)
    }
    drawn: dict[str, str] = {}
    above = ["ArbkitError"]
    for line in (errors.__doc__ or "").splitlines()[2:]:
        if "- " in line:
            level = line.index("- ") // 3
            name = line.split("- ")[1].split()[0]
            above = [*above[: level + 1], name]
            drawn[name] = above[level]
    assert set(drawn) | {"ArbkitError"} == set(made)
    assert {name: made[name].__bases__[0].__name__ for name in drawn} == drawn


def test_settings_and_data_are_value_errors_too() -> None:
    assert issubclass(errors.ConfigError, ValueError)
    assert issubclass(errors.DataError, ValueError)
    assert not issubclass(errors.InvariantViolation, ValueError)
