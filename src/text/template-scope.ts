import { Environment, Interpreter, type Template } from "@huggingface/jinja";
import { strftime } from "./strftime.js";

/**
 * Renders with the globals that chat templates count on. They are set here and not left to `Template.render`, whose
 * `strftime_now` speaks the machine's language, knows few formats and cannot be replaced. Throws where the template breaks or refuses.
 */
export function renderTemplate(template: Template, variables: Record<string, unknown>, now: Date): string {
  const globals = {
    true: true,
    false: false,
    none: null,
    True: true,
    False: false,
    None: null,
    range,
    raise_exception: (message: unknown) => {
      throw new Error(String(message));
    },
    strftime_now: (format: string) => strftime(now, format),
  };
  const environment = new Environment();
  for (const [name, value] of Object.entries({ ...globals, ...variables })) environment.set(name, value);
  return String(new Interpreter(environment).run(template.parsed).value);
}

/** Python's `range`: from `start` (0 where one bound is given) to before `stop`. */
function range(startOrStop: number, stop?: number, step = 1): number[] {
  const [from, to] = stop === undefined ? [0, startOrStop] : [startOrStop, stop];
  const length = step === 0 ? 0 : Math.max(0, Math.ceil((to - from) / step));
  return Array.from({ length }, (_, index) => from + index * step);
}
