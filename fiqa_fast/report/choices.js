// Menus for groups of figures and tables, of which one is shown. Without a script all are.
{
  const makeMenus = (chooser) => {
    const choices = [...chooser.querySelectorAll("[data-options]")];
    if (choices.length < 2) return;
    const options = choices.map((choice) => JSON.parse(choice.dataset.options));
    const bar = chooser.querySelector(".choices");
    const menus = new Map();

    for (const name of Object.keys(options[0])) {
      const values = [...new Set(options.map((option) => option[name]))];
      if (values.length < 2) continue;
      const label = document.createElement("label");
      const menu = document.createElement("select");
      label.append(name, menu);
      menu.append(...values.map((value) => new Option(value, value)));
      menu.addEventListener("change", () => choose(name));
      menus.set(name, menu);
      bar.append(label);
    }

    // Not every combination need be there: what was changed last holds, the rest as far as possible.
    const choose = (changed) => {
      const fit = (option) => {
        let points = 0;
        for (const [name, menu] of menus) {
          if (option[name] === menu.value) points += name === changed ? menus.size : 1;
        }
        return points;
      };
      const fits = options.map(fit);
      show(fits.indexOf(Math.max(...fits)));
    };

    const show = (chosen) => {
      choices.forEach((choice, i) => { choice.hidden = i !== chosen; });
      for (const [name, menu] of menus) menu.value = options[chosen][name];
      chooser.dispatchEvent(new CustomEvent("chosen"));
    };

    for (const choice of choices) {
      const heading = choice.querySelector(".choice-name");
      if (heading) heading.classList.add("unseen");
    }
    bar.hidden = menus.size === 0;
    show(0);
  };

  document.querySelectorAll("[data-chooser]").forEach(makeMenus);
}
