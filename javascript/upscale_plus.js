/* Answers that follow the controls of a page: lib_upscale/webui/ui/follower.py.

   An answer is asked for by a hidden button: once for any number of changes in a row, never while one is under way,
   and again where something changed meanwhile. gradio 3 drops what is asked while an answer is pending. */
globalThis.upscalePlus = (() => {
    const PAUSE = 150, LONGEST = 1000, LOST = 60000, DRAWN = 100, AGAIN = 1000; // milliseconds
    const states = {};

    function stateOf(name) {
        states[name] = states[name] || {timer: 0, since: 0, asked: 0, changed: false};
        return states[name];
    }

    /* Something changed that the answer depends on. */
    function changed(name) {
        const state = stateOf(name), now = Date.now();
        if (state.asked && now - state.asked < LOST) {
            state.changed = true;
            return;
        }
        state.since = state.since || now;
        clearTimeout(state.timer);
        state.timer = setTimeout(() => ask(name), Math.max(0, Math.min(PAUSE, state.since + LONGEST - now)));
    }

    function ask(name) {
        const button = document.getElementById(`${name}_ask`);
        if (button) {
            Object.assign(stateOf(name), {since: 0, asked: Date.now(), changed: false});
            button.click();
        }
    }

    /* The answer is there, or an error. */
    function answered(name) {
        const state = stateOf(name);
        state.asked = 0;
        if (state.changed) changed(name);
        else setTimeout(() => read(name), DRAWN);
    }

    /* What the line says to the page: what automatic values are, and whether more will be known in a moment. */
    function read(name) {
        const line = document.getElementById(`${name}_plan`);
        if (!line) return;
        const said = line.querySelector("[data-automatic]");
        const chosen = said ? JSON.parse(said.dataset.automatic) : {};
        for (const field of document.querySelectorAll(`[id^="${name}_"] [placeholder^="automatic"]`)) {
            const control = field.closest(`[id^="${name}_"]`), value = chosen[control.id.slice(name.length + 1)];
            if (!("tip" in control.dataset)) control.dataset.tip = control.title;
            field.placeholder = value ? `automatic: ${value}` : "automatic";
            control.title = control.dataset.tip + (value ? ` For this image: ${value}.` : "");
        }
        if (line.querySelector("[data-again]")) setTimeout(() => changed(name), AGAIN);
    }

    /* A number that is emptied is no change to gradio. */
    document.addEventListener("input", (event) => {
        const control = event.target.closest && event.target.closest('[id^="upscale_plus_"]');
        const names = Object.keys(states).filter((name) => control && control.id.startsWith(`${name}_`));
        names.forEach(changed);
    });

    return {changed, answered};
})();
