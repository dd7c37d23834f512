"""Functions that extensions want to have called."""

from modules import errors

callbacks = {}


def _adder(name):
    def add(callback, *, name=None):
        callbacks.setdefault(key, []).append(callback)

    key = name
    return add


on_script_unloaded, on_ui_settings, on_before_ui, on_after_component, on_app_started = (
    _adder(name) for name in ("script_unloaded", "ui_settings", "before_ui", "after_component", "app_started")
)


def _call(name, *arguments, **named):
    for callback in callbacks.get(name, []):
        try:
            callback(*arguments, **named)
        except Exception:
            errors.report(f"Error calling {name}", exc_info=True)


def clear_callbacks():
    """Before scripts are read again."""
    callbacks.clear()


def before_ui_callback():
    """The page is about to be built."""
    _call("before_ui")


def script_unloaded_callback():
    """Scripts are about to be read again."""
    _call("script_unloaded")


def ui_settings_callback():
    """The settings page is being built."""
    _call("ui_settings")


def after_component_callback(component, **named):
    """A component has been made."""
    _call("after_component", component, **named)
