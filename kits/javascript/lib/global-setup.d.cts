declare function setup(): Promise<() => Promise<void> | void>;
export = setup;
