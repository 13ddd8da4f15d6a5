/** Starts one broker for the whole run, unless the environment names one. The function it returns stops that broker. */
export default function setup(): Promise<(() => Promise<void>) | undefined>;
