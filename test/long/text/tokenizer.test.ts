import { describeTokenizer } from "../../support/tokenizer-suite.js";

describeTokenizer("qwen2.5-coder-0.5b");
