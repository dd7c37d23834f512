/* Answers that follow the controls of a page: lib_upscale/webui/ui/follower.py.

   An answer is asked for by a hidden button: once for any number of changes in a row, never while one is under way,
   and again where something changed meanwhile. gradio 3 drops what is asked while an answer is pending. */
globalThis.upscalePlus = (() => {
    const PAUSE = 150, LONGEST = 1000, LOST = 60000, DRAWN = 100, AGAIN = 1000; // milliseconds
    const SEEN = 1024, CELLS = 128; // the most of a mask's side that is looked at, and that is sent
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

    /* A stroke on an image of img2img, or a button that takes it back, tells gradio nothing that we may listen to: it
       would send the image each time. */
    let isPressed = false;
    document.addEventListener("pointerdown", (event) => {
        isPressed = Boolean(event.target.closest && event.target.closest("#mode_img2img"));
    });
    document.addEventListener("pointerup", () => {
        if (isPressed && document.getElementById("upscale_plus_redraw_ask")) changed("upscale_plus_redraw");
        isPressed = false;
    });

    /* What of the image in a tab is masked, painted or uploaded; "" where that can't be seen. In pixels, of the image
       or of a smaller copy: "WIDTHxHEIGHT LEFT,TOP,RIGHT,BOTTOM COLUMNSxROWS BITS", the box of all that is masked, and
       cells, of which those are set in which anything is masked, row by row, as base64. */
    function maskIn(tab) {
        const find = (selector) => tab.querySelector(selector);
        const drawn = find('#inpaint_sketch canvas[key="drawing"]');
        const strokes = find('#inpaint_sketch canvas[id^="drawingCanvas"], #img2maskimg canvas[id^="drawingCanvas"]');
        try {
            if (drawn || strokes) return maskOf(strokes || changedIn(drawn, find("#inpaint_sketch img")), true);
            return maskOf(find('#img2maskimg canvas[key="mask"], #img_inpaint_mask img'), false);
        } catch { // an image of another site
            return "";
        }
    }

    function contextOf(width, height) {
        return Object.assign(document.createElement("canvas"), {width, height}).getContext("2d");
    }

    function maskOf(source, isStrokes) {
        const size = source && [source.naturalWidth || source.width, source.naturalHeight || source.height];
        if (!size || !size[0] || !size[1]) return "";
        const scale = Math.min(1, SEEN / Math.max(...size));
        const [width, height] = size.map((side) => Math.max(1, Math.round(side * scale)));
        const context = contextOf(width, height);
        context.drawImage(source, 0, 0, width, height);
        return describeMask(context.getImageData(0, 0, width, height).data, width, height, isStrokes);
    }

    /* gradio 3 paints a sketch over the image: a canvas on which only that is seen which differs from the image. null
       where nothing does, as after some ways to bring an image there gradio has only the painted one left. */
    function changedIn(canvas, image) {
        const {width, height} = canvas, context = contextOf(width, height);
        context.drawImage(image, 0, 0, width, height);
        const before = new Uint32Array(context.getImageData(0, 0, width, height).data.buffer);
        const after = canvas.getContext("2d").getImageData(0, 0, width, height);
        const pixels = new Uint32Array(after.data.buffer);
        let isChanged = false;
        for (let i = 0; i < pixels.length; i++) {
            if (pixels[i] === before[i]) pixels[i] = 0;
            else isChanged = true;
        }
        context.putImageData(after, 0, 0);
        return isChanged ? context.canvas : null;
    }

    /* As the WebUI makes masks of them: what is rather opaque, or, of an image in which nothing is see-through, what is
       not black. Strokes may cover all of a canvas. */
    function describeMask(pixels, width, height, isStrokes) {
        const columns = Math.min(CELLS, width), rows = Math.min(CELLS, height);
        const bits = new Uint8Array(Math.ceil(columns * rows / 8));
        let left = width, top = height, right = 0, bottom = 0, isSeeThrough = isStrokes;
        for (let i = 3; i < pixels.length && !isSeeThrough; i += 4) isSeeThrough = pixels[i] < 255;
        for (let y = 0, i = 0; y < height; y++) {
            for (let x = 0; x < width; x++, i += 4) {
                const light = Math.max(pixels[i], pixels[i + 1], pixels[i + 2]);
                if (isSeeThrough ? pixels[i + 3] <= 128 : !light) continue;
                left = Math.min(left, x), right = Math.max(right, x + 1);
                top = Math.min(top, y), bottom = Math.max(bottom, y + 1);
                const cell = Math.floor(y * rows / height) * columns + Math.floor(x * columns / width);
                bits[cell >> 3] |= 128 >> (cell & 7);
            }
        }
        const box = right ? [left, top, right, bottom] : [0, 0, 0, 0];
        return `${width}x${height} ${box} ${columns}x${rows} ${btoa(String.fromCharCode(...bits))}`;
    }

    return {changed, answered, maskIn, describeMask};
})();
